"""The catalogue: CATALOGUE holds every feature, SCORED those that models use, in the order of the model's inputs."""

from features.catalogue import cadence, credible, network, originality, persistence, reach, response, tenure
from features.catalogue.feature import Catalogue

FAMILIES = (credible, tenure, reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
SCORED = CATALOGUE.scored
