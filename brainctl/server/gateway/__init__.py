"""The API as JSON under /v3/.

`routes` has the paths, `handler` serves them, `json_codec` reads and writes JSON, `access` says which browsers may.

POST /v3/kv/put with {"key": "Zm9v", "value": "YmFy"} becomes the marshalled PutRequest of key foo and value bar for
/etcdserverpb.KV/Put, and the response comes back as JSON: bytes in base64, 64-bit integers as strings.
"""
