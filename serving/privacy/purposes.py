"""Purposes: what a read is for, as its header says, and the refusal of those that are prohibited or say nothing.

Prohibited purposes: what no score may be read for, the words by which it is understood, and why.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from unicodedata import category, combining, normalize

from starlette.types import Scope

from features.errors import CloutError
from serving.middleware.request_context import request_notes

HEADER = "Clout-Purpose"
LONGEST = 200
EXAMPLE = "community moderation"
HOW = f"Send what it is for in a few words, such as '{HEADER}: {EXAMPLE}'; GET /v1/purposes lists what is refused."
ABOUT = (
    f"What the answer is for, in a few words of at most {LONGEST} characters, which the audit log keeps; it is to name "
    "nobody. Demanded where the service was started so; those that `/v1/purposes` lists are refused."
)


class PurposeError(CloutError):
    """A read says no purpose where one is demanded, or one that is none."""


class ProhibitedPurposeError(CloutError):
    """A read is for something that scores are not for."""


def check_purpose(scope: Scope) -> None:
    """Take the purpose of a request down in its notes, and refuse a request that is not to be answered.

    A request that is not about people has no notes, and is left alone.

    Raises
    ------
    PurposeError : there is none where one is demanded, or what there is cannot be one
    ProhibitedPurposeError : says as what it was understood, and why that is refused

    """
    notes = request_notes(scope)
    if notes is None:
        return
    given = [value for name, value in scope["headers"] if name == b"clout-purpose"]
    if len(given) > 1:
        raise PurposeError(f"{len(given)} purposes came with the request, expected one. {HOW}")
    notes.purpose = read_purpose(given[0]) if given else None
    if notes.purpose is None:
        if notes.demanded:
            raise PurposeError(f"no purpose came with the request, and this service demands one. {HOW}")
        return
    found = prohibited(notes.purpose)
    if found is not None:
        notes.refused = found.name
        raise ProhibitedPurposeError(
            f"the purpose was understood as {found.name}, and scores are not to be read for that. {found.reason} "
            "The refusal is in the audit log; GET /v1/purposes lists what is refused."
        )


@lru_cache(maxsize=1024)
def read_purpose(given: bytes) -> str | None:
    """Read the value of a header; None where it is empty.

    Raises
    ------
    PurposeError : it is no UTF-8, too long, holds control characters or no letter

    """
    try:
        text = given.decode().strip()
    except UnicodeDecodeError as error:
        raise PurposeError(f"the purpose is no UTF-8. {HOW}") from error
    if not text:
        return None
    if len(text) > LONGEST:
        raise PurposeError(f"the purpose holds {len(text):,} characters, expected {LONGEST} at most. {HOW}")
    if any(category(letter)[0] == "C" or category(letter) in ("Zl", "Zp") for letter in text):
        raise PurposeError(f"the purpose holds control characters, expected one line of text. {HOW}")
    if not any(letter.isalpha() for letter in text):
        raise PurposeError(f"the purpose holds no letter, expected a few words. {HOW}")
    return text


def document(operation: dict[str, Any]) -> None:
    """Tell of the header in an operation of an OpenAPI document."""
    kind = {"type": "string", "maxLength": LONGEST, "examples": [EXAMPLE]}
    told = {"name": HEADER, "in": "header", "required": False, "description": ABOUT, "schema": kind}
    operation.setdefault("parameters", []).append(told)


# Words that say nothing about what a read is for.
FILLERS = frozenset(
    re.findall(
        r"\w+",
        """a an and any are as at be by check decision decisions do for from her his in is it my no not of on only or
        our purpose purposes reason reasons score scores the their them this to use uses using us we with""",
    )
)


@dataclass(frozen=True)
class Prohibited:
    """One thing that scores are not for.

    Parameters
    ----------
    name : in answers and in the audit log
    reason : a sentence for whoever is refused
    phrases : words that follow each other anywhere in a purpose, with blanks, hyphens or nothing between them; a word
        stands for its plural as well
    alone : words that mean this only where a purpose says nothing else: one reads for `credit`, but gives credits to
        contributors

    """

    name: str
    reason: str
    phrases: tuple[str, ...]
    alone: frozenset[str] = frozenset()

    def meant_by(self, words: list[str]) -> bool:
        """Say whether words, as `words_of` gives them, mean this."""
        forms = [frozenset({word, _singular(word)}) for word in words]
        meaning = [form for word, form in zip(words, forms, strict=True) if word not in FILLERS]
        return bool(meaning) and (
            all(form & self.alone for form in meaning)
            or any(_follow(phrase, forms, k) for phrase in self._sought for k in range(len(forms)))
        )

    @cached_property
    def _sought(self) -> list[list[str]]:
        """Every phrase as its words, and as the one word that they make together."""
        apart = [words_of(phrase) for phrase in self.phrases]
        return apart + [["".join(words)] for words in apart if len(words) > 1]


def _of(name: str, reason: str, phrases: str, alone: str = "") -> Prohibited:
    held = tuple(phrase.strip() for phrase in phrases.replace("\n", " ").split(",") if phrase.strip())
    return Prohibited(name, reason, held, frozenset(alone.split()))


PROHIBITED = (
    _of(
        "hiring",
        "A score foretells how many people will respond to somebody's posts, and nothing about how they work; an "
        "influence score has cost people jobs before.",
        """hire, hired, hiring, rehire, recruit, recruited, recruiting, recruiter, recruitment, employ, employed,
        employer, employment, employability, employee evaluation, employee assessment, employee screening, employee
        monitoring, employee selection, employee performance, job applicant, job application, job candidate, job
        interview, job offer, job seeker, job screening, job search, job hunting, candidate screening, candidate
        selection, candidate assessment, applicant screening, applicant tracking, applicant selection, background
        check, background screening, resume screening, cv screening, vacancy, headhunting, headhunter, talent
        acquisition, talent sourcing, staffing, workforce, human resources, hr, salary, dismissal, layoff, internship
        selection""",
        "job career candidate applicant employee",
    ),
    _of(
        "credit",
        "A score says nothing about whether somebody pays back, and judging people by their social behaviour where it "
        "has no bearing is unlawful in places.",
        """credit score, credit scoring, credit rating, credit risk, credit check, credit limit, credit line, credit
        card, credit report, credit history, credit decision, credit application, credit approval, credit assessment,
        credit bureau, credit eligibility, consumer credit, creditworthy, creditworthiness, microcredit, creditor,
        loan, lend, lending, lender, borrower, mortgage, microloan, overdraft, solvency, debt collection,
        debt recovery, buy now pay later, bnpl, repayment, default risk""",
        "credit debt debtor financing",
    ),
    _of(
        "insurance",
        "A score says nothing about the risks of somebody's life, and pricing or refusing cover by it judges people by "
        "what it was not made from.",
        """insurance, insurer, insure, insured, insuring, insurable, insurability, reinsurance, underwriting,
        underwriter, underwrite, actuarial, actuary, policyholder, premium pricing, premium calculation, claims
        handling, claims assessment""",
    ),
    _of(
        "housing",
        "A score says nothing about somebody as a neighbour or a payer of rent, and nobody's home is to depend on how "
        "many people answer their posts.",
        """housing, tenant, tenancy, landlord, landlady, rent, rental, renter, renting, lessee, lease, leasing, letting
        agent, letting agency, eviction, flat share, flatmate, roommate, apartment application, apartment hunting, home
        buyer, residence application""",
        "apartment flat house accommodation",
    ),
    _of(
        "minors",
        "Scores are not made for judging children, who cannot agree to it and have a right to be left alone.",
        """minors, child, children, childhood, childcare, kid, schoolchild, schoolchildren, schoolkid, pupil,
        underage, under age, under 12, under 13, under 14, under 15, under 16, under 17, under 18, under eighteen,
        under sixteen, under thirteen, teen, teenage, teenager, preteen, toddler, juvenile, adolescent, youth, school
        admission""",
        "minor",
    ),
)


@lru_cache(maxsize=1024)
def prohibited(purpose: str) -> Prohibited | None:
    """Return the first prohibited purpose that a text means, None where it means none.

    Case, accents, hyphens, underscores, plurals and words run together do not hide one; part of a word makes none. A
    purpose that says what it is not for ("not for hiring") is understood as that all the same: it has to say what it
    is for. It goes by English words, and is no lock: whoever lies about the purpose has lied in a log.
    """
    words = words_of(purpose)
    return next((each for each in PROHIBITED if each.meant_by(words)), None)


def words_of(text: str) -> list[str]:
    """Take a text apart into words of plain small letters and digits, parts of `camelCase` too."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", normalize("NFKD", text))
    plain = "".join(letter for letter in apart if not combining(letter)).casefold()
    return re.findall(r"[^\W_]+", plain)


def _follow(phrase: list[str], forms: list[frozenset[str]], start: int) -> bool:
    found = forms[start : start + len(phrase)]
    return len(found) == len(phrase) and all(word in form for word, form in zip(phrase, found, strict=True))


def _singular(word: str) -> str:
    """Take an English plural back, roughly: what comes out is only ever compared with words that mean something."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss") and (len(word) > 3 or word[:-1].isdigit()):
        return word[:-1]
    return word
