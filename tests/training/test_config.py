import pytest
from pydantic import ValidationError

from features.errors import ConfigError
from training.config import Config, read_config


def read(tmp_path, text):
    path = tmp_path / "clout.toml"
    path.write_text(text)
    return read_config(path)


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert read_config(None) == read(tmp_path, "") == Config()


def test_set_fields_override_the_defaults(tmp_path):
    config = read(tmp_path, "[outcome]\nhorizon_days = 14\n[model]\nseed = 0\ntrees = 7\n")
    assert (config.outcome.horizon_days, config.model.seed, config.model.trees) == (14, 0, 7)
    assert config.panel == Config().panel
    assert config.model.depth == Config().model.depth


def test_a_configuration_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config().outcome.horizon_days = 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[outcom]\nhorizon_days = 3",
            r"outcom is not known \(did you mean 'outcome'\?\)\. Known are outcome, credibility, panel, model",
        ),
        (
            "[outcome]\nhorizon = 3",
            r"outcome\.horizon is not known \(did you mean 'horizon_days'\?\)\. Known are horizon_days",
        ),
        ("[model]\nxyz = 3", r"model\.xyz is not known\. Known are trees, depth"),
        ("horizon_days = 3", r"horizon_days is not known\. Known are outcome"),
        ("[outcome]\nhorizon_days = 0", r"outcome\.horizon_days is 0: .*greater than or equal to 1"),
        ("[outcome]\nhorizon_days = 'x'", r"outcome\.horizon_days is 'x': .*integer"),
        ("[interval]\nlevel = 1.0", r"interval\.level is 1\.0: .*less than 1"),
        ("[model]\nseed = -1", r"model\.seed is -1: "),
        ("[panel]\ncutoffs = 1", r"panel\.cutoffs is 1: .*greater than or equal to 2"),
        ("outcome = 3", r"outcome is 3: "),
        ("[model]\ntrees = 0\ndepth = 99", r"model\.trees is 0: .*; model\.depth is 99: "),
        ("[model", r"clout\.toml is not TOML: .+"),
    ],
)
def test_invalid_values_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_an_absent_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration at .*gone\.toml; name a clout\.toml, or omit"):
        read_config(tmp_path / "gone.toml")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "clout.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_config(path)


def test_seeds_are_normalised_like_ids():
    assert Config.model_validate({"credibility": {"seeds": [" 12.0 ", "NA"]}}).credibility.seeds == ("12", "NA")
    with pytest.raises(ValueError, match="has lost digits; export ids as text"):
        Config.model_validate({"credibility": {"seeds": ["1.5e+18"]}})


def test_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    (tmp_path / "clout.toml").write_bytes('\ufeff[credibility]\r\nseeds = ["jürgen"]\r\n'.encode())
    assert list(read_config(tmp_path / "clout.toml").credibility.seeds) == ["jürgen"]
