#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS with pre-shared keys and with certificates: who may connect, and who may not."""

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
        for key in ("ca", "server"):
            certtool("--generate-privkey", "--key-type", "ecdsa", "--outfile", f"{key}-key.pem")
        certtool("--generate-self-signed", "--load-privkey", "ca-key.pem", "--template", "ca.info",
                 "--outfile", "ca-cert.pem")
        certtool("--generate-certificate", "--load-ca-certificate", "ca-cert.pem",
                 "--load-ca-privkey", "ca-key.pem", "--load-privkey", "server-key.pem",
                 "--template", "server.info", "--outfile", "server-cert.pem")
        return folder

    def test_pre_shared_keys(self):
        keys, others = self.path("keys.psk"), self.path("others.psk")
        for file in (keys, others):
            run("psktool", "-u", "alice", "-p", file)
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


if __name__ == "__main__":
    unittest.main()
