"""Uses that scores are prohibited for, as the model card and the service publish them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProhibitedUse:
    """One prohibited use.

    Parameters
    ----------
    name : a word or two
    description : what it covers, as the model card lists it
    reason : why, in a sentence

    """

    name: str
    description: str
    reason: str


PROHIBITED_USES = (
    ProhibitedUse(
        "hiring",
        "hiring, promotion and dismissal",
        "A score predicts how many people will respond to a user's posts. It says nothing about how the user works, "
        "and influence scores have cost people jobs before.",
    ),
    ProhibitedUse(
        "credit",
        "credit",
        "A score says nothing about whether a user repays, and judging people by social behaviour that has no bearing "
        "on the decision is unlawful in places.",
    ),
    ProhibitedUse(
        "insurance",
        "insurance",
        "A score says nothing about the risks of a user's life, and pricing or refusing cover by it judges people by "
        "data collected for something else.",
    ),
    ProhibitedUse(
        "housing",
        "housing",
        "A score says nothing about a user as a neighbour or a tenant, and no home should depend on how many people "
        "answer its resident's posts.",
    ),
    ProhibitedUse(
        "minors",
        "anything about minors",
        "Scores are not made for judging children, who cannot consent to it and have a right to privacy.",
    ),
    ProhibitedUse(
        "other decisions",
        "decisions about any other part of a person's life, such as schooling, benefits, policing or borders",
        "A score is made from activity in a community and says nothing about any other part of a user's life.",
    ),
)
