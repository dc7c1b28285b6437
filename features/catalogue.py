"""The catalogue: every feature Clout knows, family by family, in the order in which models see them."""

from features import cadence, network, originality, persistence, reach, response
from features.feature import Catalogue

FAMILIES = (reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
