"""Fingerprints of features before their meaning was reworded: they compute the same, so models that hold them score.

Only features that a model may use are listed.
"""

EARLIER_FINGERPRINTS = {
    "early_engagers": "3ee3ca0b2806",
    "seniority_days": "f9e453b58308",
    "tenure_days": "3dcf66cfba02",
    "early_responders": "90c55a78e668",
    "responders_decayed_28d": "a7103deae61f",
    "responders_365d": "3fce356e4092",
    "response_periods_168d": "0b4937a3ade3",
    "response_attention_365d": "c8dbe91e9034",
    "days_since_last_response": "147caa77d629",
    "pieces_drawing_90d": "be397e4d67c2",
    "lasting_pieces_90d": "2a74e6b88b34",
    "repetitions_90d": "1d560fbdeddf",
    "excess_repetitions_90d": "ae068638d51a",
    "repetitions_beyond_10_90d": "cef4d220236f",
}
