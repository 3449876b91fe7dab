"""The vendor's package for Python, `cloudflare`."""

import base64
import json
import os
import time
import unittest

import cloudflare
from cloudflare import Cloudflare

ACCOUNT = os.environ["CLOUDFLARE_ACCOUNT_ID"]
NAMESPACE = os.environ["CLOUDFLARE_KV_NAMESPACE_ID"]
AT = {"account_id": ACCOUNT, "namespace_id": NAMESPACE}
BYTES = bytes([0, 255, 254, 13, 10, 0, 128])
# Of the form of a token, and none that is let in.
WRONG_TOKEN = "Zx81wrongwrongwrongwrong"
# Over a store without order a page may hold more keys than its limit, and a key may come again on a later page.
UNORDERED = os.environ.get("KV_CLIENTS_UNORDERED") == "1"
# Keys that a path, a query or a file name would make something else of. The client refuses to send `.` and `..` alone.
ODD_KEYS = [
    "a b", " ", "/", "a/b", "//", "%", "%2F", "a%20b", "?", "a?b=c", "#", "&=", "+", "\t", "\\", '"', "'", "é😀",
    "ключ", "...", "x/../y", "../../..", ".hidden", "values", "bulk", "a:b", "{}", "@", ";", "~", "\0", "\u202e",
]


def now() -> int:
    return int(time.time())


def ordered(names) -> list:
    return sorted(set(names) if UNORDERED else names)


class Values(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Cloudflare(max_retries=0)
        self.addCleanup(self.client.close)
        self.namespaces = self.client.kv.namespaces
        present = self.names()
        if present:
            self.namespaces.bulk_delete(NAMESPACE, account_id=ACCOUNT, body=present)
        self.assertEqual(self.names(), [])

    def put(self, key: str, value: bytes, **more) -> None:
        self.namespaces.values.update(key, value=value, **AT, **more)

    def get(self, key: str) -> bytes:
        return self.namespaces.values.get(key, **AT).read()

    def all(self, **query) -> list:
        return list(self.namespaces.keys.list(NAMESPACE, account_id=ACCOUNT, **query))

    def names(self, **query) -> list:
        return ordered(key.name for key in self.all(**query))

    def write_many(self, body: list):
        return self.namespaces.bulk_update(NAMESPACE, account_id=ACCOUNT, body=body)

    def read_many(self, keys: list, **more) -> dict:
        return self.namespaces.bulk_get(NAMESPACE, account_id=ACCOUNT, keys=keys, **more).values

    def assert_missing(self, key: str) -> None:
        with self.assertRaises(cloudflare.NotFoundError) as caught:
            self.get(key)
        self.assertEqual(caught.exception.errors[0].code, 10009)

    def assert_lives(self, expiration: float, before: int, ttl: int) -> None:
        self.assertGreaterEqual(expiration, before + ttl)
        self.assertLessEqual(expiration, now() + ttl + 1)

    def test_a_value_is_read_as_it_was_written_and_replaced(self) -> None:
        self.put("key", b"first")
        self.assertEqual(self.get("key"), b"first")
        self.put("key", "żółć 😀".encode())
        self.assertEqual(self.get("key"), "żółć 😀".encode())

    def test_bytes_stay_bytes(self) -> None:
        self.put("bytes", BYTES)
        response = self.namespaces.values.get("bytes", **AT)
        self.assertEqual(response.headers["content-type"], "application/octet-stream")
        self.assertEqual(response.read(), BYTES)

    def test_a_megabyte_comes_back_whole(self) -> None:
        large = bytes(index % 251 for index in range(3 * 1024 * 1024))
        self.put("large", large)
        self.assertTrue(self.get("large") == large)

    def test_a_value_may_be_empty(self) -> None:
        self.put("empty", b"")
        self.assertEqual(self.get("empty"), b"")
        self.assertEqual(self.names(), ["empty"])

    def test_metadata_is_kept_beside_the_value_and_goes_with_it(self) -> None:
        about = {"name": "é", "list": [1, None, {"deep": True}], "empty": {}}
        for given in (about, json.dumps(about)):
            self.put("key", b"value", metadata=given)
            self.assertEqual(self.namespaces.metadata.get("key", **AT), about)
            self.assertEqual(self.get("key"), b"value")
            [listed] = self.all()
            self.assertEqual((listed.name, listed.metadata, listed.expiration), ("key", about, None))
        self.put("key", b"another")
        self.assertIsNone(self.namespaces.metadata.get("key", **AT))
        self.assertIsNone(self.all()[0].metadata)

    def test_metadata_that_is_not_json_is_refused(self) -> None:
        with self.assertRaises(cloudflare.BadRequestError):
            self.put("key", b"value", metadata="{nope")
        self.assert_missing("key")

    def test_a_time_to_live_becomes_an_expiry(self) -> None:
        before = now()
        self.put("key", b"value", expiration_ttl=3600)
        [listed] = self.all()
        self.assert_lives(listed.expiration, before, 3600)
        header = self.namespaces.values.get("key", **AT).headers["expiration"]
        self.assertEqual(int(header), listed.expiration)

    def test_an_expiry_is_kept_to_the_second_and_a_write_without_one_ends_it(self) -> None:
        expiration = now() + 7200
        self.put("key", b"value", expiration=expiration)
        self.assertEqual(self.all()[0].expiration, expiration)
        self.put("key", b"value")
        self.assertIsNone(self.all()[0].expiration)
        self.assertNotIn("expiration", self.namespaces.values.get("key", **AT).headers)

    def test_given_both_the_time_to_live_counts(self) -> None:
        before = now()
        self.put("key", b"value", expiration_ttl=600, expiration=before + 90_000)
        self.assert_lives(self.all()[0].expiration, before, 600)

    def test_an_expiry_that_has_passed_is_refused(self) -> None:
        for expiry in ({"expiration": now() - 3600}, {"expiration_ttl": 0}):
            with self.assertRaises(cloudflare.BadRequestError):
                self.put("key", b"value", **expiry)
        self.assert_missing("key")

    def test_what_is_not_there_is_an_error_with_its_code(self) -> None:
        self.assert_missing("nothing")
        with self.assertRaises(cloudflare.NotFoundError) as caught:
            self.namespaces.metadata.get("nothing", **AT)
        self.assertEqual(caught.exception.errors[0].code, 10009)

    def test_what_is_deleted_is_gone_and_can_be_deleted_again(self) -> None:
        self.put("key", b"value")
        self.put("other", b"value")
        self.namespaces.values.delete("key", **AT)
        self.assert_missing("key")
        self.namespaces.values.delete("key", **AT)
        self.assertEqual(self.names(), ["other"])

    def test_a_key_may_have_512_bytes_encoded_three_times_as_long(self) -> None:
        longest = "é" * 256
        self.put(longest, b"value")
        self.assertEqual(self.get(longest), b"value")
        self.assertEqual(self.names(), [longest])

    def test_keys_are_listed_by_prefix_page_by_page(self) -> None:
        pages = [f"page/{index:02}" for index in range(25)]
        self.write_many([{"key": key, "value": "v"} for key in [*pages, "pag", "pagf", "page"]])
        page = self.namespaces.keys.list(NAMESPACE, account_id=ACCOUNT, prefix="page/", limit=10)
        found, count = [], 0
        for page in page.iter_pages():
            count += 1
            self.assertLessEqual(len(page.result), 25 if UNORDERED else 10)
            found += [key.name for key in page.result]
        self.assertGreaterEqual(count, 1 if UNORDERED else 3)
        self.assertEqual(ordered(found), pages)
        self.assertEqual(self.names(prefix="page"), ["page", *pages])
        self.assertEqual(self.names(prefix="none"), [])
        self.assertEqual(len(self.names()), 28)

    def test_more_keys_than_one_page_holds_are_all_listed(self) -> None:
        written = [f"k{index:04}" for index in range(2100)]
        self.write_many([{"key": key, "value": key} for key in written])
        self.assertEqual(self.names(), written)

    def test_a_limit_out_of_range_is_refused(self) -> None:
        for limit in (9, 1001):
            with self.assertRaises(cloudflare.BadRequestError):
                self.all(limit=limit)

    def test_many_are_written_read_and_deleted_by_one_request_each(self) -> None:
        expiration = now() + 7200
        written = self.write_many([
            {"key": "plain", "value": "text"},
            {"key": "bytes", "value": base64.b64encode(BYTES).decode(), "base64": True},
            {"key": "a/b %", "value": '{"json":[1,2]}', "metadata": {"about": "it"}, "expiration": expiration},
            {"key": "both", "value": "v", "expiration_ttl": 600, "expiration": expiration},
        ])
        self.assertEqual(written.successful_key_count, 4)
        self.assertFalse(written.unsuccessful_keys)
        self.assertEqual(self.get("bytes"), BYTES)
        [listed] = self.all(prefix="a/")
        self.assertEqual((listed.metadata, listed.expiration), ({"about": "it"}, expiration))
        self.assertLess(self.all(prefix="both")[0].expiration, expiration)

        wanted = ["plain", "a/b %", "nothing"]
        self.assertEqual(
            self.read_many(wanted), {"plain": "text", "a/b %": '{"json":[1,2]}', "nothing": None}
        )
        whole = self.read_many(wanted, with_metadata=True)
        self.assertEqual((whole["plain"].value, whole["plain"].metadata), ("text", None))
        item = whole["a/b %"]
        self.assertEqual((item.value, item.metadata, item.expiration), ('{"json":[1,2]}', {"about": "it"}, expiration))
        self.assertIsNone(whole["nothing"])
        self.assertEqual(self.read_many(["a/b %"], type="json"), {"a/b %": {"json": [1, 2]}})

        deleted = self.namespaces.bulk_delete(NAMESPACE, account_id=ACCOUNT, body=["plain", "bytes", "nothing"])
        self.assertFalse(deleted.unsuccessful_keys)
        self.assertEqual(self.names(), ["a/b %", "both"])

    def test_of_a_bulk_write_with_one_bad_item_nothing_is_written(self) -> None:
        bad = {"key": "bad", "value": "v", "expiration": now() - 3600}
        with self.assertRaises(cloudflare.BadRequestError):
            self.write_many([{"key": "good", "value": "v"}, bad])
        self.assertEqual(self.names(), [])

    def test_bulk_requests_have_their_limits(self) -> None:
        for keys in ([f"k{index}" for index in range(101)], []):
            with self.assertRaises(cloudflare.BadRequestError):
                self.read_many(keys)

    def test_the_namespace_is_listed_and_found(self) -> None:
        found = self.namespaces.get(NAMESPACE, account_id=ACCOUNT)
        self.assertTrue(found.title)
        self.assertIn(found, list(self.namespaces.list(account_id=ACCOUNT)))

    def test_a_namespace_that_is_not_there_is_an_error_with_its_code(self) -> None:
        nowhere = "f00dfeedf00dfeedf00dfeedf00dfeed"
        with self.assertRaises(cloudflare.NotFoundError) as caught:
            self.namespaces.values.get("key", account_id=ACCOUNT, namespace_id=nowhere)
        self.assertEqual(caught.exception.errors[0].code, 10013)

    def test_a_wrong_token_reads_and_writes_nothing(self) -> None:
        self.put("key", b"secret")
        stranger = Cloudflare(api_token=WRONG_TOKEN, max_retries=0)
        self.addCleanup(stranger.close)
        of = stranger.kv.namespaces
        attempts = {
            "get": lambda: of.values.get("key", **AT),
            "put": lambda: of.values.update("key", value=b"other", **AT),
            "delete": lambda: of.values.delete("key", **AT),
            "list": lambda: of.keys.list(NAMESPACE, account_id=ACCOUNT),
            "delete many": lambda: of.bulk_delete(NAMESPACE, account_id=ACCOUNT, body=["key"]),
            "namespaces": lambda: of.list(account_id=ACCOUNT),
        }
        for name, attempt in attempts.items():
            with self.subTest(name), self.assertRaises(cloudflare.APIStatusError) as caught:
                attempt()
            self.assertIn(caught.exception.status_code, (401, 403))
            self.assertEqual(caught.exception.errors[0].code, 10000)
        self.assertEqual(self.get("key"), b"secret")


def odd(key: str):
    def test(self: Values) -> None:
        self.put("neighbour", b"stays")
        self.put(key, key.encode(), metadata={"key": key})
        self.assertEqual(self.get(key), key.encode())
        self.assertEqual(self.namespaces.metadata.get(key, **AT), {"key": key})
        self.assertEqual(self.names(), sorted([key, "neighbour"]))
        self.assertEqual(self.read_many([key]), {key: key})
        self.namespaces.values.delete(key, **AT)
        self.assert_missing(key)
        self.assertEqual(self.get("neighbour"), b"stays")

    return test


for number, odd_key in enumerate(ODD_KEYS):
    setattr(Values, f"test_the_odd_key_{number:02}_{ascii(odd_key)}_is_one_like_any_other", odd(odd_key))


if __name__ == "__main__":
    unittest.main()
