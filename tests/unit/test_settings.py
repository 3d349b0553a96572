"""Settings: flags override the environment, which overrides `.env`; all problems are reported at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from modelshelf.domain.job_rules import JobRules
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.errors import BadInput
from modelshelf.settings import Settings, child_environment, load_settings

GB = 10**9


class EnvFile:
    """A `.env` in its own folder, and a home that isn't the developer's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.path = self.folder / ".env"
        self.home = folder / "home"

    def load(self, text: str | bytes, **environ: str) -> Settings:
        """Return the settings from a `.env` with this text and this environment."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(self.path, {"HOME": str(self.home)} | environ)

    def problems(self, text: str | bytes, **environ: str) -> list[tuple[str, str, str]]:
        """Return (name, origin, detail) of every problem."""
        with pytest.raises(BadInput) as caught:
            self.load(text, **environ)
        found = caught.value.fields["problems"]
        assert isinstance(found, list)
        return [(problem["name"], problem["origin"], problem["detail"]) for problem in found]


@pytest.fixture
def env(tmp_path: Path) -> EnvFile:
    """An empty project."""
    return EnvFile(tmp_path)


def test_without_a_setting_there_are_defaults(env: EnvFile) -> None:
    """By default Hugging Face's own folder is the primary, without a limit, and the server is on loopback."""
    settings = env.load("")

    assert settings.tiers.primary.base == str(env.home / ".cache/huggingface")
    assert (settings.tiers.primary.limit_bytes, settings.tiers.secondary) == (None, None)
    assert (settings.host, settings.port, settings.hf_endpoint) == ("127.0.0.1", 8000, "https://huggingface.co")
    assert (settings.warning_threshold, settings.database_url, settings.download_limit_bytes_per_s) == (0.9, "", None)
    assert (settings.hf_token, settings.api_key, settings.tiers.custom_map) == (None, None, {})
    assert (settings.peers, settings.peer_key) == ((), None)
    assert (settings.state_home, settings.env_file) == (env.home / ".local/state", env.path)
    assert settings.engine_rules == Rules()


def test_every_setting_is_read(env: EnvFile) -> None:
    """Every setting in `.env` sets its field."""
    settings = env.load(
        """
        PRIMARY_CACHE_PATH=/mnt/fast/llm
        PRIMARY_CACHE_LIMIT_GB=0.57
        SECONDARY_CACHE_PATH=/mnt/slow/llm
        SECONDARY_CACHE_LIMIT_GB=2000
        CACHE_WARNING_THRESHOLD=1
        CACHE_PATH_MAP=/mnt/usb=/models/usb, /mnt/nas=/models/nas,
        DATABASE_URL=postgresql://me@db/shelf
        HF_TOKEN=hf_x
        HF_ENDPOINT=http://lan:8000/hf/
        SHELF_HOST=0.0.0.0
        SHELF_PORT=9000
        SHELF_API_KEY=key
        SHELF_DOWNLOAD_LIMIT=10 MB/s
        SHELF_DOWNLOAD_HOURS=22:00-06:30
        SHELF_PEERS=http://nas:8000/hf/, https://lan.example
        SHELF_PEER_KEY=theirs
        ON_FULL=refuse
        ON_SECONDARY_FULL=remove-unpinned
        PROMOTE=never
        VIEWS=hf, cache_dir
        KEEP_ALIVE=30m
        MAX_LOADED=1
        LOAD_WAIT_S=60
        QUEUE_LIMIT=64
        USES_DAYS=0
        JOBS_DAYS=7
        MAX_DOWNLOADS=3
        MAX_MOVES=1
        WEBHOOK_URL=https://hooks.example/a?token=1, http://nas:9000, http://nas:9000
        WEBHOOK_SECRET=whsec_aGVsbG8=
        """
    )

    tiers = settings.tiers
    assert (tiers.primary.base, tiers.primary.limit_bytes) == ("/mnt/fast/llm", 570_000_000)
    assert tiers.secondary is not None
    assert (tiers.secondary.base, tiers.secondary.limit_bytes) == ("/mnt/slow/llm", 2000 * GB)
    assert tiers.custom_map == {"/mnt/usb": "/models/usb", "/mnt/nas": "/models/nas"}
    assert (settings.warning_threshold, settings.database_url) == (1.0, "postgresql://me@db/shelf")
    assert (settings.hf_token, settings.hf_endpoint) == ("hf_x", "http://lan:8000/hf")
    assert (settings.host, settings.port, settings.api_key) == ("0.0.0.0", 9000, "key")
    assert (settings.download_limit_bytes_per_s, str(settings.download_hours)) == (10_000_000, "22:00-06:30")
    assert (settings.peers, settings.peer_key) == (("http://nas:8000/hf", "https://lan.example"), "theirs")
    assert (settings.on_full, settings.on_secondary_full, settings.promote) == ("refuse", "remove-unpinned", "never")
    assert settings.uses_days == 0
    assert settings.views == {ViewKind.HF, ViewKind.CACHE_DIR}
    assert settings.webhooks.urls == ("https://hooks.example/a?token=1", "http://nas:9000")
    assert settings.webhooks.secret == "whsec_aGVsbG8="
    assert "hello" not in repr(settings)
    assert "hooks.example" not in repr(settings)
    assert settings.job_rules == JobRules(days=7, max_downloads=3, max_moves=1)
    assert settings.engine_rules == Rules(max_loaded=1, queue_limit=64, keep_alive_s=1800, load_wait_s=60)


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN=abc",
        "HF_TOKEN = abc",
        "export HF_TOKEN=abc",
        'HF_TOKEN="abc"',
        "HF_TOKEN='abc'",
        "HF_TOKEN=abc # a comment",
        "# a comment\n\nHF_TOKEN=abc\n",
        "HF_TOKEN=abc\r\nHF_ENDPOINT=\r\n",
        "\ufeffHF_TOKEN=abc",
        "HF_TOKEN=old\nHF_TOKEN=abc",
        "HF_TOKEN='abc '\r\n",
        "HF_TOKEN\nHF_TOKEN=abc",
    ],
    ids=["plain", "spaces", "export", "double quotes", "single quotes", "comment behind", "comment before", "CRLF",
         "BOM", "last one wins", "quoted space and CRLF", "a name alone"],
)  # fmt: skip
def test_a_line_of_a_dotenv_is_understood(env: EnvFile, text: str) -> None:
    """A line of a `.env` means the same in every spelling that editors and shells write."""
    assert env.load(text).hf_token == "abc"


@pytest.mark.parametrize("text", ["HF_TOKEN=", "HF_TOKEN=''", 'HF_TOKEN="  "', "#HF_TOKEN=x"])
def test_an_empty_variable_is_not_set(env: EnvFile, text: str) -> None:
    """An empty variable counts as not set, in the file and in the environment, where it doesn't hide the file's."""
    assert env.load(text, HF_TOKEN=" ").hf_token is None
    assert env.load("HF_TOKEN=abc", HF_TOKEN="").hf_token == "abc"


@pytest.mark.parametrize("name", ["PRIMARY_CACHE_LIMIT", "SECONDARY_CACHE_PTAH"])
def test_a_mistyped_limit_is_not_passed_over(env: EnvFile, name: str) -> None:
    """A mistyped limit is an error, because the tier would have no limit; other programs' names are ignored."""
    [(found, _, detail)] = env.problems(f"{name}=1")
    assert (found, detail.startswith("There is no such setting")) == (name, True)
    with pytest.raises(BadInput, match=r"PRIMARY_CACHE_LIMIT_GB|SECONDARY_CACHE_PATH"):
        env.load("", **{name: "1"})
    assert env.load("MY_CACHE_LIMIT=1").tiers.primary.limit_bytes is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PROMOT", "PROMOTE"), ("ON_FUL", "ON_FULL"), ("SHELF_DOWNLOAD_LIMT", "SHELF_DOWNLOAD_LIMIT")],
)
def test_a_slip_in_our_file_is_told(env: EnvFile, name: str, meant: str) -> None:
    """A near-miss is a typo in our own file; in the environment it may belong to another program."""
    found = env.problems(f"{name}=1\nSHELF_UID=1\nSHELF_PUBLISH=1\nDATABASE_URI=x\nHF_TOKENS=y")
    assert [(where, detail) for where, _, detail in found] == [
        (name, f"There is no such setting. Did you mean {meant}?")
    ]
    env.load("", **{name: "1"})


def test_an_empty_hf_home_is_not_the_current_folder(env: EnvFile) -> None:
    """An empty HF_HOME counts as not set, though for Hugging Face it is the current folder."""
    assert env.load("", HF_HOME="").tiers.primary.base == str(env.home / ".cache/huggingface")


def test_the_environment_wins_over_the_file(env: EnvFile) -> None:
    """The environment overrides the file."""
    assert env.load("SHELF_PORT=1111", SHELF_PORT="2222").port == 2222


def test_hf_home_is_the_primary_base_where_none_is_named(env: EnvFile) -> None:
    """HF_HOME is the primary base if no other is set."""
    assert env.load("", HF_HOME="/mnt/hf").tiers.primary.base == "/mnt/hf"
    assert env.load("HF_HOME=/mnt/hf").tiers.primary.base == "/mnt/hf"


def test_hf_home_does_not_matter_where_a_primary_base_is_named(env: EnvFile) -> None:
    """HF_HOME is ignored if a primary base is set, even if it couldn't be a base."""
    assert env.load("PRIMARY_CACHE_PATH=/mnt/p", HF_HOME="/data/hub").tiers.primary.base == "/mnt/p"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("~/llm", "{home}/llm"),
        ("~", "{home}"),
        ("$HOME/llm", "{home}/llm"),
        ("${HOME}/llm", "{home}/llm"),
        ("$DISK/llm", "/mnt/disk/llm"),
        ("${FAST_DISK}/llm", "/mnt/fast/llm"),
        ("$EMPTY_DISK/llm", "/mnt/empty/llm"),
        ("/mnt/a~b", "/mnt/a~b"),
        ("cache", "{folder}/cache"),
        ("../cache", "{parent}/cache"),
        ("./a/../cache/", "{folder}/cache"),
        ('"/mnt/My Models/größe"', "/mnt/My Models/größe"),
    ],
)
def test_a_path_is_expanded(env: EnvFile, text: str, base: str) -> None:
    """A path may hold `~`, `$NAME` and `${NAME}` from the environment or file; a relative one starts at the file."""
    settings = env.load(
        f"FAST_DISK=/mnt/fast\nEMPTY_DISK=/mnt/empty\nPRIMARY_CACHE_PATH={text}", DISK="/mnt/disk", EMPTY_DISK=""
    )

    expected = base.format(home=env.home, folder=env.folder, parent=env.folder.parent)
    assert settings.tiers.primary.base == expected


def test_a_relative_path_of_the_environment_is_relative_to_the_current_folder(
    env: EnvFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in the environment starts at the current folder, where the person typed it."""
    monkeypatch.chdir(env.folder.parent)

    assert env.load("", PRIMARY_CACHE_PATH="x").tiers.primary.base == str(env.folder.parent / "x")


def test_every_problem_is_reported_at_once_with_its_line(env: EnvFile) -> None:
    """One run reports every problem with its line."""
    lines = "", "  ", "PRIMARY_CACHE_PATH=/mnt/x/hub", "# no", "PRIMARY_CACHE_LIMIT_GB=many", "", "SHELF_PORT=99999"
    text = "\n".join([*lines, "HF_TOKEN='sec ret"])

    problems = env.problems(text, CACHE_WARNING_THRESHOLD="90")

    assert [(name, origin) for name, origin, _ in problems] == [
        ("HF_TOKEN", f"{env.path}:8"),
        ("PRIMARY_CACHE_PATH", f"{env.path}:3"),
        ("PRIMARY_CACHE_LIMIT_GB", f"{env.path}:5"),
        ("CACHE_WARNING_THRESHOLD", "environment"),
        ("SHELF_PORT", f"{env.path}:7"),
    ]
    assert "ret" not in str(problems[0])


def test_the_error_says_how_many_settings_are_wrong(env: EnvFile) -> None:
    """The error says how many settings are wrong and lists each with its line."""
    with pytest.raises(
        BadInput, match=r"^2 settings are wrong:\n  .*\.env:1: HF_ENDPOINT: .*\n  .*\.env:2: SHELF_PORT: "
    ):
        env.load("HF_ENDPOINT=ftp://x\nSHELF_PORT=0")
    with pytest.raises(BadInput, match=r"^A setting is wrong:"):
        env.load("SHELF_PORT=0")


def test_a_base_that_ends_in_hub_is_refused_with_the_path_to_use(env: EnvFile) -> None:
    """A base that ends in `hub` is refused with the base to use."""
    [(name, _, detail)] = env.problems("SECONDARY_CACHE_PATH=/mnt/slow/hub")

    assert name == "SECONDARY_CACHE_PATH"
    assert detail.endswith("Use /mnt/slow")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("PRIMARY_CACHE_PATH=/mnt/$UNSET/llm", "$UNSET in /mnt/$UNSET/llm isn't set"),
        ("PRIMARY_CACHE_LIMIT_GB=0", "isn't above 0"),
        ("PRIMARY_CACHE_LIMIT_GB=-5", "isn't above 0"),
        ("PRIMARY_CACHE_LIMIT_GB=nan", "isn't above 0"),
        ("PRIMARY_CACHE_LIMIT_GB=inf", "more than any disk holds"),
        ("PRIMARY_CACHE_LIMIT_GB=1e300", "more than any disk holds"),
        ("PRIMARY_CACHE_LIMIT_GB=1e-12", "isn't above 0"),
        ("PRIMARY_CACHE_LIMIT_GB=100GB", "isn't a number of GB"),
        ("CACHE_WARNING_THRESHOLD=0", "isn't a fraction"),
        ("CACHE_WARNING_THRESHOLD=high", "isn't a fraction"),
        ("CACHE_WARNING_THRESHOLD=nan", "isn't a fraction"),
        ("ON_FULL=explode", "isn't one of demote, refuse"),
        ("PROMOTE=sometimes", "isn't one of never, auto, always"),
        ("SHELF_PORT=http", "isn't a port"),
        ("SHELF_PORT=65536", "isn't a port"),
        ("SHELF_PORT=²", "isn't a port"),
        ("SHELF_DOWNLOAD_LIMIT=fast", "isn't a size"),
        ("SHELF_REQUIRE_MOUNT=maybe", "neither 1 nor 0"),
        ("SHELF_DOWNLOAD_LIMIT=0", "isn't above 0"),
        ("SHELF_DOWNLOAD_LIMIT=9999999999 TB", "too large a size"),
        ("SHELF_DOWNLOAD_HOURS=1-7", "isn't a span of hours, such as 01:00-07:00"),
        ("SHELF_DOWNLOAD_HOURS=07:00-07:00", "isn't a span of hours"),
        ("SHELF_DOWNLOAD_HOURS=24:00-07:00", "isn't a span of hours"),
        ("HF_ENDPOINT=huggingface.co", "isn't an http address"),
        ("SHELF_PEERS=http://nas:8000/hf,nas", "'nas' isn't an http address"),
        ("SHELF_PEERS=http://:secret@nas:8000/hf", "SHELF_PEER_KEY"),
        ("DATABASE_URL=mysql://me:secret@host/db", "'mysql' isn't a known kind of database"),
        ("CACHE_PATH_MAP=/mnt/usb", "isn't a pair"),
        ("CACHE_PATH_MAP=/mnt/usb/hub=/x/y", "Use /mnt/usb"),
        ("PRIMARY_CACHE_PATH=s3://bucket/x", "not absolute"),
        ("PRIMARY_CACHE_PATH=/etc", "system folder"),
        ("KEEP_ALIVE=soon", "-1 means for ever"),
        ("MAX_LOADED=0", "isn't a whole number above 0"),
        ("KEEP_ALIVE=99999999999d", "more than a hundred years"),
        ("QUEUE_LIMIT=many", "isn't a whole number above 0"),
        ("QUEUE_LIMIT=1000000", "of at most six digits"),
        ("QUEUE_LIMIT=٣", "isn't a whole number above 0"),
        ("LOAD_WAIT_S=0", "isn't above 0"),
        ("MAX_MOVES=none", "isn't a whole number above 0"),
        ("WEBHOOK_URL=http://a.example, https://me:pw@b.example", "Address 2 isn't an http address"),
        ("WEBHOOK_URL=http://[", "Address 1 isn't an http address"),
        ("WEBHOOK_URL=ftp://a.example", "Address 1 isn't an http address"),
        ("WEBHOOK_SECRET=whsec_?", "isn't base64"),
        ("JOBS_DAYS=0", "isn't a whole number above 0"),
        ("USES_DAYS=1.5", "isn't a whole number of days"),
        ("USES_DAYS=36501", "isn't a whole number of days"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(env: EnvFile, line: str, what: str) -> None:
    """An invalid value's problem says what would be valid, and never repeats a password."""
    [(name, origin, detail)] = env.problems(line)

    assert (name, origin) == (line.partition("=")[0], f"{env.path}:1")
    assert what in detail
    assert detail.endswith(".") or detail.split()[-1].startswith(("/", "http", "postgresql:", "https:"))
    assert not detail.startswith(("is ", "isn't ", "holds "))
    assert "secret" not in detail


def test_views_are_kinds_that_need_no_folder_of_their_own(env: EnvFile) -> None:
    """VIEWS is hf and cache_dir by default, and none if it is empty or `none`; another kind needs a command."""
    assert env.load("").views == {ViewKind.HF, ViewKind.CACHE_DIR}
    assert env.load("VIEWS=none").views == env.load("VIEWS=").views == env.load("", VIEWS="").views == frozenset()
    assert env.load("VIEWS=hf").views == {ViewKind.HF}
    [(name, _, detail)] = env.problems("VIEWS=hf,ollama")
    assert (name, "'ollama' isn't one of hf, cache_dir, or none." in detail) == ("VIEWS", True)


@pytest.mark.parametrize(("text", "meant_s"), [("-1", -1), ("-300", -1), ("0", 0), ("90", 90), ("2h", 7200)])
def test_a_model_may_stay_for_ever_or_not_at_all(env: EnvFile, text: str, meant_s: float) -> None:
    """KEEP_ALIVE takes seconds, durations, 0 and anything negative for ever."""
    assert env.load(f"KEEP_ALIVE={text}").engine_rules.keep_alive_s == meant_s


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [("/mnt/a/x", "/mnt/a/x/"), ("/mnt/a/x", "/mnt/a/x/y"), ("/mnt/a/x/y", "/mnt/a/x")],
    ids=["the same", "secondary inside", "primary inside"],
)
def test_two_tiers_in_one_folder_are_refused(env: EnvFile, primary: str, secondary: str) -> None:
    """Two tiers in one folder are refused, because bytes would count twice."""
    [(name, origin, detail)] = env.problems(f"PRIMARY_CACHE_PATH={primary}\nSECONDARY_CACHE_PATH={secondary}")

    assert (name, origin) == ("SECONDARY_CACHE_PATH", f"{env.path}:2")
    assert "overlap" in detail


def test_two_names_of_one_folder_are_refused(env: EnvFile) -> None:
    """A link to the primary base is refused as the secondary base."""
    (env.folder / "real").mkdir()
    (env.folder / "link").symlink_to("real")

    [(name, _, _)] = env.problems("PRIMARY_CACHE_PATH=real\nSECONDARY_CACHE_PATH=link")

    assert name == "SECONDARY_CACHE_PATH"


def test_secrets_are_never_in_the_repr(env: EnvFile) -> None:
    """The repr of settings shows no token, key or password."""
    settings = env.load("HF_TOKEN=hf_secret\nSHELF_API_KEY=key_secret\nDATABASE_URL=postgresql://me:pw_secret@db/x")

    assert "_secret" not in repr(settings).replace(str(env.folder.parent), "")
    assert settings.database_url.endswith("pw_secret@db/x")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A file that is named and doesn't exist is an error."""
    with pytest.raises(BadInput, match="There is no file"):
        load_settings(tmp_path / "no.env", {})


@pytest.mark.parametrize(
    ("path", "what"),
    [("latin1.env", "isn't UTF-8"), ("/proc/self/mem", "can't be read")],
    ids=["encoding", "unreadable"],
)
def test_a_file_that_cannot_be_read_is_a_problem_of_the_settings(tmp_path: Path, path: str, what: str) -> None:
    """A file that can't be read is one problem, and its settings aren't guessed."""
    (tmp_path / "latin1.env").write_bytes(b"PRIMARY_CACHE_PATH=/mnt/gr\xf6\xdfe")

    with pytest.raises(BadInput, match=what):
        load_settings(tmp_path / path, {"HOME": str(tmp_path)})


def test_the_file_is_found_here_then_in_the_configuration_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`./.env` with settings of ours overrides `modelshelf/.env` below XDG_CONFIG_HOME."""
    config, here = tmp_path / "config/modelshelf/.env", tmp_path / "here/.env"
    for path in (config, here):
        path.parent.mkdir(parents=True)
    monkeypatch.chdir(here.parent)
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    assert load_settings(environ=environ).env_file is None
    config.write_text("SHELF_PORT=1")
    assert load_settings(environ=environ).port == 1
    here.write_text("DATABASE_URL=mysql://another/project")
    assert load_settings(environ=environ).port == 1
    here.write_text("\ufeffSHELF_PORT=2")
    assert load_settings(environ=environ).port == 2


def test_by_default_the_environment_is_this_processs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the process's environment is read; the state folder follows XDG_STATE_HOME."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELF_PORT", "4711")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    settings = load_settings()

    assert (settings.port, settings.state_home) == (4711, tmp_path / "state")


def test_without_a_home_the_system_knows_one(env: EnvFile) -> None:
    """Without HOME, such as in a service, the user database gives the home."""
    settings = env.load("", HOME="")

    assert settings.tiers.primary.base == os.path.expanduser("~/.cache/huggingface")  # noqa: PTH111 - as HF does it


def test_a_childs_environment_is_this_one_with_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child's environment is this one with changes; None unsets a variable, and this process's stays the same."""
    monkeypatch.setenv("SHELF_A", "1")
    monkeypatch.setenv("SHELF_B", "2")

    found = child_environment({"SHELF_A": None, "SHELF_C": "3"})

    assert {name: text for name, text in found.items() if name.startswith("SHELF_")} == {"SHELF_B": "2", "SHELF_C": "3"}
    assert os.environ["SHELF_A"] == "1"


@pytest.mark.parametrize(("text", "meant"), [("", None), ("1", True), ("yes", True), ("0", False), ("OFF", False)])
def test_a_mount_is_required_warned_about_or_neither(tmp_path: Path, text: str, meant: bool | None) -> None:
    """SHELF_REQUIRE_MOUNT requires a mount, or accepts none; unset, it warns."""
    assert load_settings(environ={"HOME": str(tmp_path), "SHELF_REQUIRE_MOUNT": text}).require_mount is meant


OF_THE_HOST = {
    *("SHELF_HOST", "SHELF_PORT", "SHELF_UID", "SHELF_GID", "SHELF_PUBLISH", "SHELF_PUBLISH_GPU"),
    *("LLAMA_SERVER", "VLLM_COMMAND", "HF_HUB_DISABLE_SYMLINKS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"),
}
"""Settings that would be wrong in a container."""


def test_compose_hands_every_setting_to_the_container() -> None:
    """Each setting of `.env.example` reaches the container through Compose, except what belongs to the host."""
    root = Path(__file__).parents[2]
    settings = set(re.findall(r"(?m)^#?([A-Z_]+)=", (root / ".env.example").read_text(encoding="utf-8")))
    handed = set(re.findall(r"(?m)^ +([A-Z_]+): [$\"/]", (root / "docker-compose.yml").read_text(encoding="utf-8")))

    assert settings - OF_THE_HOST - handed == set()
