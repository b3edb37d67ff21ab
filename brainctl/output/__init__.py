"""The output formats: pure functions from an answer to bytes.

`answers.py` has the answers that are more than a response of the API. Each format (-w) is a module with a function
`render(answer, style)`: `simple.py`, `json.py`, `fields.py`, `protobuf.py`, `table.py` (with `rows.py`). `gotext.py`
writes texts as Go does, `roles.py` roles, `plot.py` plots.

Example: the answer to `get a`, in two formats:

    -w simple    a                       -w fields    "ClusterID" : 14841639068965178418
                 1                                    ...
                                                      "Key" : "a"
                                                      "CreateRevision" : 2
"""
