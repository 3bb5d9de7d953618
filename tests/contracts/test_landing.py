"""What every landing zone must do, run over a directory and over a bucket of a real S3 server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ratchet.adapters.landing import DirectoryZone, S3Zone, open_zone
from ratchet.adapters.landing_keys import canonical, ignored, shown_key, unsafe_reason
from ratchet.contracts.seams import LandingZone
from ratchet.errors import (
    DefinitionError,
    ObjectChanged,
    StorageError,
    TooLarge,
    UnsafeKey,
)
from ratchet.settings import Settings

MIB = 2**20


@dataclass
class Place:
    """A zone, and how somebody else puts objects into it."""

    zone: LandingZone
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]


def directory_place(path: Path) -> Place:
    path.mkdir()

    def put(key: str, data: bytes) -> None:
        target = path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    return Place(
        open_zone("zone", Settings(home=path.parent)), put, lambda key: (path / key).unlink()
    )


def s3_place(server: Any) -> Place:
    bucket, client = server.make_bucket(), server.client()
    return Place(
        open_zone(f"s3://{bucket}/some/prefix", server.settings()),
        lambda key, data: client.put_object(Bucket=bucket, Key=f"some/prefix/{key}", Body=data),
        lambda key: client.delete_object(Bucket=bucket, Key=f"some/prefix/{key}"),
    )


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return directory_place(tmp_path / "zone")
    return s3_place(request.getfixturevalue("s3"))


def test_lists_objects_in_every_folder_sorted_by_key(place: Place) -> None:
    for key in ("labels/b.csv", "a.csv", "features/deep/er/c.parquet"):
        place.put(key, key.encode())
    objects, unsafe = place.zone.list()
    assert [o.key for o in objects] == ["a.csv", "features/deep/er/c.parquet", "labels/b.csv"]
    assert [o.size for o in objects] == [len(o.key) for o in objects]
    assert unsafe == []


def test_an_empty_zone_lists_nothing(place: Place) -> None:
    assert place.zone.list() == ([], [])


def test_reads_exactly_what_was_put(place: Place) -> None:
    content = bytes(range(256)) * 5000
    place.put("x/y.bin", content)
    place.put("empty", b"")
    objects, _ = place.zone.list()
    assert {o.key: place.zone.read(o, 2 * MIB) for o in objects} == {
        "x/y.bin": content,
        "empty": b"",
    }


def test_arrival_is_the_time_of_writing_and_aware(place: Place) -> None:
    before = datetime.now(UTC)
    place.put("a", b"1")
    arrived = place.zone.list()[0][0].arrived
    assert arrived.tzinfo is not None
    assert abs((arrived - before).total_seconds()) < 60


def test_listing_twice_gives_the_same_and_a_new_content_a_new_etag(place: Place) -> None:
    place.put("a", b"one")
    first = place.zone.list()[0]
    assert place.zone.list()[0] == first
    place.put("a", b"two")
    assert place.zone.list()[0][0].etag != first[0].etag


def test_an_overwritten_object_is_not_read_as_the_listed_one(place: Place) -> None:
    place.put("a", b"one")
    ref = place.zone.list()[0][0]
    place.put("a", b"two")
    with pytest.raises(ObjectChanged, match="next cycle"):
        place.zone.read(ref, MIB)
    assert place.zone.read(place.zone.list()[0][0], MIB) == b"two"


def test_a_deleted_object_is_reported_as_changed(place: Place) -> None:
    place.put("d/a", b"one")
    ref = place.zone.list()[0][0]
    place.delete("d/a")
    with pytest.raises(ObjectChanged, match="deleted"):
        place.zone.read(ref, MIB)


def test_an_object_over_the_cap_is_refused(place: Place) -> None:
    place.put("a", b"x" * 1001)
    ref = place.zone.list()[0][0]
    with pytest.raises(TooLarge, match="1001 bytes, allowed are 1000"):
        place.zone.read(ref, 1000)
    assert len(place.zone.read(ref, 1001)) == 1001


def test_a_listing_that_lies_about_the_size_is_found_out(place: Place) -> None:
    place.put("a", b"x" * 1001)
    ref = place.zone.list()[0][0]
    with pytest.raises(ObjectChanged):
        place.zone.read(replace(ref, size=10), 1000)


def test_temporary_and_hidden_files_are_ignored(place: Place) -> None:
    names = ("a.csv.tmp", "b.part", ".hidden", "_SUCCESS", "_delta_log/0.json", "c.crc", "d/.x")
    for key in names:
        place.put(key, b"1")
    assert place.zone.list() == ([], [])


def test_unsafe_keys_are_reported_and_never_read(place: Place) -> None:
    place.put("with\nnewline", b"1")
    place.put("right\u202eleft", b"1")
    objects, unsafe = place.zone.list()
    assert objects == []
    assert [key for key, _ in unsafe] == ["right\\u202eleft", "with\\nnewline"]
    assert all(reason for _, reason in unsafe)
    place.put("ok", b"1")
    ref = place.zone.list()[0][0]
    for key in ("p\\q", "../ok", "/etc/passwd", "a//b", "", "x" * 2000, "\udcff"):
        with pytest.raises(UnsafeKey):
            place.zone.read(replace(ref, key=key), MIB)


def test_names_that_differ_only_in_unicode_form_alias_one_another(place: Place) -> None:
    place.put("caf\u00e9.csv", b"1")
    assert len(place.zone.list()[0]) == 1
    place.put("cafe\u0301.csv", b"2")
    objects, unsafe = place.zone.list()
    assert (len(objects), len(unsafe)) == (0, 2)


def test_the_name_is_the_address_without_credentials(place: Place, tmp_path: Path) -> None:
    assert place.zone.name in ("zone", place.zone.name)
    assert str(tmp_path) not in place.zone.name
    assert "test" not in place.zone.name


# A directory alone


def test_a_backslash_beside_a_folder_makes_both_unsafe(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    place.put("p\\q", b"alias")
    place.put("p/q", b"true")
    objects, unsafe = place.zone.list()
    assert objects == []
    assert [key for key, _ in unsafe] == ["p/q", "p\\\\q"]


def test_a_missing_directory_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such directory; create it"):
        DirectoryZone(tmp_path / "absent").list()


def test_links_and_special_files_are_reported_never_followed(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"secret")
    (tmp_path / "zone" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "zone" / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "zone" / "pipe")
    objects, unsafe = place.zone.list()
    assert objects == []
    assert [k for k, _ in unsafe] == ["folder", "link", "pipe"]
    assert "link" in unsafe[0][1] and "regular" in unsafe[2][1]


def test_a_file_or_folder_swapped_for_a_link_after_listing_is_not_followed(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    place.put("f/a", b"one")
    place.put("b", b"one")
    refs, _ = place.zone.list()
    (tmp_path / "zone" / "f").rename(tmp_path / "moved")
    (tmp_path / "zone" / "f").symlink_to(tmp_path / "moved")
    (tmp_path / "zone" / "b").rename(tmp_path / "b")
    (tmp_path / "zone" / "b").symlink_to(tmp_path / "b")
    for ref in refs:
        with pytest.raises(ObjectChanged):
            place.zone.read(ref, MIB)


def test_a_file_swapped_for_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    place.put("a", b"one")
    ref = place.zone.list()[0][0]
    (tmp_path / "zone" / "a").unlink()
    os.mkfifo(tmp_path / "zone" / "a")
    with pytest.raises(ObjectChanged):
        place.zone.read(ref, MIB)


def test_an_error_of_the_disk_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = directory_place(tmp_path / "zone")
    place.put("a", b"one")
    ref = place.zone.list()[0][0]

    def broken(*args: object, **kwargs: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(StorageError, match="Permission denied"):
        place.zone.read(ref, MIB)
    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(StorageError, match="Permission denied"):
        place.zone.list()


def test_a_file_younger_than_any_date_does_not_stop_the_listing(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    place.put("a", b"one")
    os.utime(tmp_path / "zone" / "a", (2**33, 2**33))
    assert place.zone.list()[0][0].arrived.year > 2200


def test_a_very_deep_folder_is_reported(tmp_path: Path) -> None:
    place = directory_place(tmp_path / "zone")
    at = tmp_path / "zone"
    for _ in range(9):
        at = at / ("d" * 150)
        at.mkdir()
    (at / "f").write_bytes(b"1")
    objects, unsafe = place.zone.list()
    assert (objects, len(unsafe)) == ([], 1)
    assert unsafe[0][0].startswith("ddd")


def test_addresses(tmp_path: Path) -> None:
    assert open_zone(str(tmp_path), Settings()).name == str(tmp_path)
    zone = open_zone("data/in", Settings(home=tmp_path))
    assert (zone.name, zone.root) == ("data/in", tmp_path / "data/in")  # type: ignore[attr-defined]
    for wrong in ("gs://bucket/x", "http://host/x", "s3://", "s3://A_B/x"):
        with pytest.raises(DefinitionError, match="expected"):
            open_zone(wrong, Settings())
    with pytest.raises(DefinitionError) as caught:
        open_zone("s3://AKIA:topsecret@bucket/x", Settings())
    assert "topsecret" not in str(caught.value)


# S3 alone


def test_s3_doubled_slashes_and_siblings_of_the_prefix(s3: Any) -> None:
    bucket, client = s3.make_bucket(), s3.client()
    for key in ("in/a/b", "in-other/x", "in/folder/"):
        client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"1")
    zone = open_zone(f"s3://{bucket}/in/", s3.settings())
    assert [o.key for o in zone.list()[0]] == ["a/b"]
    assert zone.name == f"s3://{bucket}/in"
    whole = open_zone(f"s3://{bucket}", s3.settings())
    assert [o.key for o in whole.list()[0]] == ["in-other/x", "in/a/b"]


class Listing:
    """A bucket that holds keys which SeaweedFS would rewrite (Amazon keeps them apart)."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def get_paginator(self, name: str) -> Listing:
        return self

    def paginate(self, **kwargs: Any) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        facts = {"ETag": '"e"', "Size": 1, "LastModified": now}
        return [{}, {"Contents": [{"Key": key, **facts} for key in self.keys]}]


def test_s3_keys_that_alias_one_another_are_all_refused() -> None:
    listing: Any = Listing("in/p//q", "in//p/q", "in/p\\q", "in/p/q", "in/p/r", "in/../in/p/r")
    objects, unsafe = S3Zone("bucket", "in", listing).list()
    assert [o.key for o in objects] == ["p/r"]
    assert [key for key, _ in unsafe] == ["../in/p/r", "/p/q", "p//q", "p/q", "p\\\\q"]


def test_s3_a_server_that_rewrites_keys_cannot_pass_one_object_off_as_another(s3: Any) -> None:
    place = s3_place(s3)
    place.put("p/q", b"true")
    ref = place.zone.list()[0][0]
    place.put("p\\q", b"alias")  # SeaweedFS overwrites p/q
    with pytest.raises(ObjectChanged):
        place.zone.read(ref, MIB)


def test_s3_lists_more_than_one_page(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = s3_place(s3)
    for i in range(5):
        place.put(f"{i}", b"1")
    zone = place.zone
    assert isinstance(zone, S3Zone)
    pages = zone.client.get_paginator("list_objects_v2")
    real = pages.paginate

    class TwoAtATime:
        def paginate(self, **kwargs: Any) -> Any:
            return real(**kwargs, PaginationConfig={"PageSize": 2})

    monkeypatch.setattr(zone.client, "get_paginator", lambda name: TwoAtATime())
    assert [o.key for o in zone.list()[0]] == ["0", "1", "2", "3", "4"]


def test_s3_an_unfinished_multipart_upload_is_invisible(s3: Any) -> None:
    bucket, client = s3.make_bucket(), s3.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    client.upload_part(
        Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"x" * (5 * MIB)
    )
    assert open_zone(f"s3://{bucket}", s3.settings()).list() == ([], [])


def test_s3_a_missing_bucket_or_wrong_keys_are_named_without_secrets(s3: Any) -> None:
    zone = open_zone("s3://no-such-bucket/x", s3.settings())
    with pytest.raises(StorageError, match="s3://no-such-bucket/x"):
        zone.list()
    place = s3_place(s3)
    place.put("a", b"1")
    ref = place.zone.list()[0][0]
    bucket = place.zone.bucket  # type: ignore[attr-defined]
    denied = open_zone(f"s3://{bucket}/some/prefix", s3.settings(s3_secret_key="f" * 40))
    for call in (denied.list, lambda: denied.read(ref, MIB)):
        with pytest.raises(StorageError) as caught:
            call()
        assert "f" * 40 not in str(caught.value)


@pytest.fixture
def breaking_server() -> Iterator[tuple[str, list[int]]]:
    """Answers each request with fewer bytes than it announced."""
    listener = socket.create_server(("127.0.0.1", 0))
    calls: list[int] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                calls.append(1)
                head = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: "e"\r\n\r\n'
                connection.sendall(head.encode() + b"x" * 10)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
    listener.close()


def test_s3_a_body_that_breaks_off_is_tried_again_then_an_error(
    breaking_server: tuple[str, list[int]],
) -> None:
    endpoint, calls = breaking_server
    settings = Settings(s3_endpoint=endpoint, s3_access_key="a", s3_secret_key="b")  # type: ignore[arg-type]
    zone = open_zone("s3://bucket/x", settings)
    from ratchet.contracts.seams import ObjectRef

    started = time.monotonic()
    with pytest.raises(StorageError, match="s3://bucket/x: a"):
        zone.read(ObjectRef("a", "e", 100, datetime.now(UTC)), MIB)
    assert len(calls) == 3
    assert time.monotonic() - started < 30


# The rules for keys


def test_keys() -> None:
    assert unsafe_reason("features/2013-01-01.parquet") is None
    assert unsafe_reason("a/../b") and unsafe_reason("./a") and unsafe_reason("a/")
    assert unsafe_reason("\udcff") == "the name is not UTF-8"
    assert {canonical(k) for k in ("p/q", "p//q", "/p/q", "p\\q", "./p/q")} == {"p/q"}
    assert shown_key("a\udcff\u202e") == "a\\\\xff\\u202e"
    assert not ignored("features/2013.parquet") and not ignored("../x")
    assert ignored("_x/y") and ignored("a/b.tmp")
