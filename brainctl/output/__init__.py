r"""The output formats: pure functions from an answer to bytes.

    session.write(answer) ---> simple, json, fields, protobuf, table ---> answers (what is no response of the API)
                                 simple, table ---> rows ---> gotext (texts as Go writes them)
                                 simple (roles) ---> roles         plot: SVG or PNG, for --plot

Each format (-w) is a module with a function `render(answer, style)`, which picks the code by the class of the answer.
A new answer is a class in `answers`, a function in each format that can show it, and columns in `rows` if it is a list.

Example: the answer to `get a`, in two formats:

    >>> from brainctl.etcdpb import kv_pb2, rpc_pb2
    >>> from brainctl.output import json, simple
    >>> from brainctl.output.answers import Style
    >>> kv = kv_pb2.KeyValue(key=b"a", value=b"1", create_revision=2, mod_revision=2, version=1)
    >>> answer = rpc_pb2.RangeResponse(kvs=[kv], count=1)
    >>> simple.render(answer, Style())
    b'a\n1\n'
    >>> simple.render(answer, Style(value_only=True))
    b'1\n'
    >>> b'"key":"YQ=="' in json.render(answer, Style())     # base64, as etcdctl
    True
"""
