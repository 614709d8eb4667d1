"""What the settings name as destinations, and whose journal it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.audit.destination import configured, describe_other_site
from archiverd.config.models import Settings
from archiverd.journal.destinations import Site

if TYPE_CHECKING:
    from pathlib import Path


def settings(root: Path, records: str, url: str = "https://ucondb.example/inst/app") -> Settings:
    """Return the settings of a site with this run-records directory and server."""
    return Settings.model_validate(
        {
            "app": {"work_dir": root / "work"},
            "source_files": {"run_records_dir": records},
            "artdaq_db": {"database_uri": f"filesystemdb://{root}/artdaqdb"},
            "ucon_db": {"server_url": url, "folder_name": "test01", "object_name": "configuration"},
        }
    )


@pytest.mark.parametrize("spelled", ["{}/records", "{}/records/", "{}/other/../records", "{}//records/."])
def test_one_directory_is_one_site_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    """A slash or a detour makes no other site of it; another directory does."""
    places = configured(settings(tmp_path, spelled.format(tmp_path)))
    assert describe_other_site(Site("a", f"{tmp_path}/records"), places) == ""
    assert "was it copied from another site?" in describe_other_site(Site("a", f"{tmp_path}/others"), places)


@pytest.mark.parametrize(
    "spelled",
    ["https://UCONDB.example/inst/app", "https://ucondb.example:443/inst/app", "https://ucondb.example/inst/app/"],
)
def test_one_server_is_one_destination_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    """Case of the host, the default port, and a slash at the end make no other database of it."""
    meant = configured(settings(tmp_path, "/records"))
    assert configured(settings(tmp_path, "/records", spelled)).ucondb == meant.ucondb
