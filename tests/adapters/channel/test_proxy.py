import pytest

from septum.adapters.channel.proxy import Proxy, ProxySettings, proxies_from
from septum.errors import ConfigError

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "fl.example.org", False),
        ("*", "fl.example.org", True),
        ("fl.example.org", "fl.example.org", True),
        ("FL.Example.ORG", "fl.example.org", True),
        ("example.org", "fl.example.org", True),
        (".example.org", "fl.example.org", True),
        ("*.example.org", "fl.example.org", True),
        (" other , example.org ", "fl.example.org", True),
        ("example.org", "badexample.org", False),
        ("example.org", "example.org.evil.net", False),
        ("fl.example.org:8443", "fl.example.org", True),
        ("fl.example.org:443", "fl.example.org", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", False),
        ("1.2.3", "10.1.2.3", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:8443", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", False),
        ("10.0.0.0/8", "fl.example.org", False),
        (",,", "fl.example.org", False),
    ],
)
def test_no_proxy_says_which_hosts_are_reached_directly(no_proxy, host, direct):
    found = ProxySettings(PROXY, no_proxy).proxy_for(host, 8443)
    assert found == (None if direct else Proxy("proxy.example", 3128))


@pytest.mark.parametrize(
    ("setting", "proxy"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy/", Proxy("proxy", 80)),
        ("http://user:p%40ss@proxy:1", Proxy("proxy", 1, "Basic dXNlcjpwQHNz")),
        ("", None),
    ],
)
def test_the_proxys_url_is_read(setting, proxy):
    assert ProxySettings(setting).proxy_for("fl.example.org", 443) == proxy


@pytest.mark.parametrize(
    "setting",
    ["https://u:hunter2@proxy", "socks5://u:hunter2@proxy", "http://u:hunter2@:1", "http://u:hunter2@proxy:x"],
)
def test_another_kind_of_proxy_is_refused_without_quoting_a_password(setting):
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        ProxySettings(setting).proxy_for("fl.example.org", 443)
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_the_environment_is_read_and_lower_case_wins():
    environment = {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1", "NO_PROXY": "a,b"}
    assert proxies_from(environment) == ProxySettings("http://lower:1", "a,b")
    assert proxies_from({}) == ProxySettings()
    assert proxies_from({"HTTP_PROXY": "http://plain:1", "ALL_PROXY": "http://all:1"}) == ProxySettings()


def test_a_proxys_password_is_in_no_repr():
    settings = ProxySettings("http://user:hunter2@proxy:1")
    assert "hunter2" not in repr(settings)
    assert "dXNlcj" not in repr(settings.proxy_for("fl.example.org", 443))
