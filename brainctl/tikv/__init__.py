"""A store on TiKV: the revision log and the key index as TiKV keys, one writer, readers anywhere."""
