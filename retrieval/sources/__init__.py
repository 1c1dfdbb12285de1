"""Pictures that are not files of their own in a folder: where their bytes are, and reading them.

source      the protocol of a root's files, wherever they are; `opening` chooses one
folder      a folder of this machine
remote      objects at an address, such as s3://bucket/holiday, by fsspec; never http or https
options     how to reach an address, without what may be a secret
patterns    shards/{00000..00099}.tar, spelled out
web/        what lies at an address of http or https, and folders there with index pages
address_list  rows of CSV, JSON lines and parquet with addresses of pictures
parquet     reads and writes parquet, by pyarrow
container   a file whose members are pictures: a tar shard
entry       where the bytes of one picture are; small, so that any process can be told
tar_shard   lists the members of a shard, each with its offset
sample      what the .json and .txt of a member say about it
"""
