"""What tests share: reference models and small adaptors."""
