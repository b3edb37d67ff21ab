"""Authentication and authorization of a node.

* `passwords.py`: hashing and comparing passwords with bcrypt.
* `tokens.py`: simple tokens; `jwt_tokens.py`: JSON Web Tokens; `token_option.py`: the choice by --auth-token.
* `authorizer.py`: which method needs which permission, while authentication is on.
"""
