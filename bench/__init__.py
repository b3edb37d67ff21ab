"""etcd and brainctl side by side on one machine: `python -m bench`."""
