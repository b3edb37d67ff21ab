"""The disk under a store (SSD or rotating): what it is, how fast it makes writes durable, how long it will last.

* `device.py`: what the kernel reports about it. `probe.py`: measures the time of a write with its fdatasync.
* `verdict.py`: compares that with etcd's thresholds. `endurance.py`: years until its rated bytes are written.
"""
