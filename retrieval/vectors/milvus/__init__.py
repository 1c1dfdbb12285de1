"""A vector store in Milvus, or in the embedded Milvus Lite: vectors, and the facts to filter by.

address      milvus://host:19530/name, or a file that ends in .db
connection   clients of this process, and Milvus's errors as one line
expressions  conditions as Milvus's filter expressions
entities     what the catalog holds of an image → rows of a collection
collection   one collection: schema, index, search
filling      the outbox of the catalog → the collection
tuning       the index that suits a number of vectors, and its measured recall
store        `VectorStore`: a search, with the news that is still waiting in the outbox
checking     the collection compared with the catalog

pymilvus is imported only by `connection`, and only when a store is used: it takes a second.
"""
