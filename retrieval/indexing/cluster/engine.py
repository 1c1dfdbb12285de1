"""A Ray cluster as a run uses it: a pool of workers on its nodes, and what they encoded."""

from collections.abc import Callable

from retrieval.catalog.reading import Catalog
from retrieval.decoding.pool import Pool
from retrieval.errors import ClusterUnavailable
from retrieval.indexing.cluster.crew import Crew, Recipe
from retrieval.indexing.cluster.encoded import ClusterEncoding
from retrieval.indexing.cluster.placement import Cluster, nodes_of, seats
from retrieval.indexing.cluster.pool import ClusterPool
from retrieval.indexing.cluster.session import RaySession
from retrieval.indexing.cluster.workers import Decoder, RemoteEncoder
from retrieval.indexing.cluster.writer import ClusterWriter
from retrieval.indexing.elsewhere.reading_pool import ReadingPool
from retrieval.indexing.encoding import Encoding
from retrieval.indexing.machine import Encoders
from retrieval.indexing.recorder import CatalogWriter, Writer
from retrieval.vectors.hubness import QueryBank


def on_cluster(
    cluster: Cluster,
    catalog: Catalog,
    encoder: Encoders,
    query_bank: Callable[[], QueryBank] | None,
    workers: int | None,
    batch_size: int | None,
) -> tuple[Pool, Encoding, Writer]:
    """Return the pool, the encoding and the writer. The loaders are called on each node."""
    loading = {"encoder": encoder, "query_bank": query_bank, "batch_size": batch_size}
    recipes = {
        "decoder": Recipe(Decoder),
        "encoder": Recipe(RemoteEncoder, {**loading, "threads": None}),
    }

    def connect() -> tuple[RaySession, Crew]:
        session = RaySession(cluster.address)
        nodes = nodes_of(session.ray.nodes())
        placed = seats(nodes, cluster.device, cluster.gpus, workers)
        if not placed:
            session.close()
            raise ClusterUnavailable("no node of the Ray cluster has a CPU to decode with")
        return session, Crew(session.ray, placed, recipes)

    pool = ClusterPool(connect)
    is_shared = catalog.database.is_shared
    writer = ClusterWriter(pool, catalog) if is_shared else CatalogWriter(catalog)
    # One process fetches from the web, for each host's sake; the nodes read everything else.
    return ReadingPool(pool, only_web=True), ClusterEncoding(pool), writer
