r"""The disk under a store (SSD or rotating): what it is, how fast it makes writes durable, how long it will last.

    flash probe ---> device            what the kernel reports about the disk
               \---> probe ---> verdict   times of write and fdatasync, and what load these carry
    flash report ---> endurance        bytes per day against the rating

* `device`: reads /proc/self/mountinfo and /sys/block; `probe`: measures, in a file without a name;
* `verdict`: compares the measurement with etcd's thresholds, in words;
* `endurance`: the years until the rated bytes are written.

Example: a disk of 1 TB is rated for one drive write per day over 5 years. A store has written 100 GB in a day.

    >>> from brainctl.flash.endurance import endurance, mean_rate, rated_by_dwpd
    >>> rated = rated_by_dwpd(1, 10**12)
    >>> rated // 10**12                     # TB that the disk may take
    1825
    >>> rate = mean_rate(100 * 10**9, since=0, now=86400)
    >>> found = endurance(rate, rated)
    >>> round(found.years), round(found.share, 2)   # years it lasts; share of what may be written in a day
    (50, 0.1)
"""
