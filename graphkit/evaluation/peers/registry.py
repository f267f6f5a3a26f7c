"""The peers by the name that ``peers.models`` gives them."""

from __future__ import annotations

from graphkit.config.sections import PeersSection
from graphkit.evaluation.peers.als import AlsPeer
from graphkit.evaluation.peers.ease import EasePeer
from graphkit.evaluation.peers.hybrid_mf import HybridMfPeer
from graphkit.evaluation.peers.item_knn import ItemKnnPeer
from graphkit.evaluation.peers.lightgcn import LightGcnPeer
from graphkit.evaluation.peers.nmf import NmfPeer
from graphkit.evaluation.peers.peer import Peer
from graphkit.evaluation.peers.popularity import PopularityPeer, RecentPopularityPeer
from graphkit.graph.memory import parse_memory


def every_peer(settings: PeersSection) -> dict[str, Peer]:
    """All peers, by their name in the configuration, whether chosen or not."""
    return {
        "popularity": PopularityPeer(),
        "recent-popularity": RecentPopularityPeer(),
        "item-knn": ItemKnnPeer(),
        "ease": EasePeer(parse_memory(settings.memory, "peers.memory")),
        "als": AlsPeer(),
        "nmf": NmfPeer(),
        "lightgcn": LightGcnPeer(settings.lightgcn_epochs),
        "hybrid-mf": HybridMfPeer(settings.hybrid_epochs),
    }


def chosen_peers(settings: PeersSection) -> list[Peer]:
    """The peers of ``peers.models``, in its order."""
    peers = every_peer(settings)
    return [peers[name] for name in dict.fromkeys(settings.models)]
