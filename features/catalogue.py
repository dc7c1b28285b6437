"""The catalogue: every feature Clout knows, family by family, in the order in which models see them."""

from features import cadence, network, reach, response
from features.feature import Catalogue

CATALOGUE = Catalogue([*reach.FEATURES, *response.FEATURES, *network.FEATURES, *cadence.FEATURES])
