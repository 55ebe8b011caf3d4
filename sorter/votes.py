"""How the views of one object vote; written down in `models.votes`, where training uses it too."""

from __future__ import annotations

from models.votes import DEFAULT_VOTES, Votes, VoteSettings, aggregate_views, not_healthy

__all__ = ["DEFAULT_VOTES", "VoteSettings", "Votes", "aggregate_views", "not_healthy"]
