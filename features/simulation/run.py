"""Simulate a community and write it down."""

from collections.abc import Callable
from pathlib import Path

from features.simulation.community import Community, Summary
from features.simulation.output import Output
from features.simulation.people import draw_people
from features.simulation.stream import Stream
from features.simulation.table import to_table
from features.simulation.tags import tag_lists
from features.simulation.truth import truth

Progress = Callable[[float], None]


def simulate(community: Community, out: Path, progress: Progress | None = None) -> Summary:
    """Write a community's events, and the truth about it beside them.

    Parameters
    ----------
    community : what to simulate
    out : a `.parquet` file or a folder for the events, replaced as a whole; `x/events.parquet` and `x/events` both
        have their truth in `x/events.truth.parquet`
    progress : called with the share that is done, above 0 to 1

    Raises
    ------
    EventsError : out is something that must not be replaced

    """
    people = draw_people(community)
    stream = Stream(community, people)
    tags = tag_lists(community.topics)
    with Output(Path(out)) as output:
        for done, acts in stream.blocks():
            output.parts.add(to_table(acts, community.users, tags))
            if progress is not None:
                progress(done)
        files = output.publish(truth(community, people, stream.crowd))
    return Summary(events=output.parts.rows, users=community.users, files=files, truth=output.truth)
