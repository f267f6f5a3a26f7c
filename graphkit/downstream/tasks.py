"""The tasks, in the order of the table (``config.downstream.TASKS`` has their names)."""

from __future__ import annotations

from typing import Final

from graphkit.downstream.cluster_labels import LABELS
from graphkit.downstream.clusters import Cluster
from graphkit.downstream.creator_follow import CreatorFollow
from graphkit.downstream.future_listening import FutureListening
from graphkit.downstream.next_item import NextItem
from graphkit.downstream.profiling import ATTRIBUTES, Profile
from graphkit.downstream.sign_up import SignUp
from graphkit.downstream.task import Task

ALL_TASKS: Final[tuple[Task, ...]] = (
    FutureListening(),
    SignUp(),
    NextItem(),
    CreatorFollow(),
    *(Profile(attribute) for attribute in ATTRIBUTES),
    *(Cluster(label) for label in LABELS),
)
