#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS with pre-shared keys and with certificates: clients that may and may not connect."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import nbd  # noqa: E402
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import Server, run  # noqa: E402

SIZE = 16 << 20


class TlsTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk.qed", SIZE)

    def assert_refuses_plain_clients(self, server):
        with self.assertRaises(nbd.Error):
            connect(server.uri.replace("nbds", "nbd", 1))

    def make_certificates(self, name="certificates"):
        folder = self.path(name)
        folder.mkdir()

        def certtool(*arguments):
            run("certtool", *arguments, cwd=folder)

        (folder / "ca.info").write_text("cn = libqed test\nca\ncert_signing_key\n")
        (folder / "server.info").write_text(
            "cn = localhost\ndns_name = localhost\ntls_www_server\nsigning_key\n")
        (folder / "client.info").write_text("cn = client\ntls_www_client\nsigning_key\n")
        for key in ("ca", "server", "client"):
            certtool("--generate-privkey", "--key-type", "ecdsa", "--outfile", f"{key}-key.pem")
        certtool("--generate-self-signed", "--load-privkey", "ca-key.pem", "--template", "ca.info",
                 "--outfile", "ca-cert.pem")
        for side in ("server", "client"):
            certtool("--generate-certificate", "--load-ca-certificate", "ca-cert.pem",
                     "--load-ca-privkey", "ca-key.pem", "--load-privkey", f"{side}-key.pem",
                     "--template", f"{side}.info", "--outfile", f"{side}-cert.pem")
        return folder

    def make_keys(self, name="keys.psk"):
        run("psktool", "-u", "alice", "-p", self.path(name))
        return self.path(name)

    def assert_tools_work(self, uri):
        """nbdinfo and nbdcopy, as a user runs them: in both directions, through TLS."""
        info = run("nbdinfo", uri).out
        self.assertRegex(info, r"protocol: newstyle-fixed with TLS")
        source, copy = self.path("source.raw"), self.path("copy.raw")
        source.write_bytes(self.random.randbytes(3 << 20).ljust(SIZE, b"\0"))
        run("nbdcopy", source, uri)
        run("nbdcopy", uri, copy)
        self.assert_same(source, copy)

    def test_pre_shared_keys(self):
        keys, others = self.make_keys(), self.make_keys("others.psk")
        with Server("--tls", keys, self.image) as server:
            uri = server.uri.replace(":///", "://alice@/")
            client = connect(f"{uri}&tls-psk-file={keys}")
            self.assertTrue(client.get_tls_negotiated())
            client.pwrite(b"secret", 0)
            self.assertEqual(client.pread(6, 0), b"secret")
            client.shutdown()
            with self.assertRaises(nbd.Error):
                connect(f"{uri}&tls-psk-file={others}")
            self.assert_refuses_plain_clients(server)

    def test_certificates_over_tcp(self):
        mine, others = self.make_certificates(), self.make_certificates("others")
        with Server("--port", 0, "--tls", mine, self.image) as server:
            self.assertRegex(server.uri, r"^nbds://localhost:\d+/$")
            client = connect(f"{server.uri}?tls-certificates={mine}")
            self.assertTrue(client.get_tls_negotiated())
            self.assertEqual(client.get_size(), SIZE)
            client.shutdown()
            with self.assertRaises(nbd.Error):
                connect(f"{server.uri}?tls-certificates={others}")
            self.assert_refuses_plain_clients(server)

    def test_nbdcopy_and_nbdinfo_with_pre_shared_keys_over_tcp(self):
        keys = self.make_keys()
        with Server("--port", 0, "--tls", keys, self.image) as server:
            uri = server.uri.replace("://", "://alice@") + f"?tls-psk-file={keys}"
            self.assert_tools_work(uri)
            self.assert_refuses_plain_clients(server)

    def test_nbdcopy_and_nbdinfo_with_certificates(self):
        certificates = self.make_certificates()
        with Server("--port", 0, "--tls", certificates, self.image) as server:
            self.assert_tools_work(f"{server.uri}?tls-certificates={certificates}")

    def test_clients_without_a_certificate_stay_outside_if_told_so(self):
        mine = self.make_certificates()
        nameless = self.path("nameless")
        nameless.mkdir()
        (nameless / "ca-cert.pem").write_bytes((mine / "ca-cert.pem").read_bytes())
        with Server("--port", 0, "--tls", mine, "--tls-verify-peer", self.image) as server:
            self.assert_tools_work(f"{server.uri}?tls-certificates={mine}")
            with self.assertRaises(nbd.Error):
                connect(f"{server.uri}?tls-certificates={nameless}").pread(512, 0)

    def test_keys_are_read_for_each_client_from_inside_the_sandbox(self):
        self.skip_without_sandbox()
        keys = self.make_keys()
        with Server("--sandbox", "on", "--tls", keys, self.image) as server:
            uri = server.uri.replace(":///", "://alice@/") + f"&tls-psk-file={keys}"
            for _ in range(3):
                client = connect(uri)
                self.assertTrue(client.get_tls_negotiated())
                client.shutdown()


if __name__ == "__main__":
    unittest.main()
