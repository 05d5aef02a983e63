"""A guest finds the library through LD_LIBRARY_PATH, through LD_PRELOAD or through ldconfig: each alone is enough."""

import shutil
import subprocess
import unittest
from pathlib import Path

from harness import GUEST, SANITIZER_ENVIRONMENT, DaemonTest, program, run_program


class Loading(DaemonTest):
    def environment(self, **more):
        environment = self.daemon.environment(VGPU_SOCKET=self.daemon.socket, VGPU_VM_ID=7, VGPU_POOL="B")
        environment.update(more)
        return environment

    def check(self, command, environment, name="vector_add"):
        before = self.daemon.metrics().value("vgpu_kernels_launched_total", vm=7, pool="B")
        result = run_program([str(part) for part in command], environment)
        self.assert_passes(result, name)
        self.daemon.wait_idle()
        after = self.daemon.metrics().value("vgpu_kernels_launched_total", vm=7, pool="B")
        self.assertGreater(after, before, "the program ran, but not through this daemon")

    def test_vgpu_run_alone(self):
        before = self.daemon.metrics().value("vgpu_kernels_launched_total", vm=8, pool="A")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=8, pool="A"), "vector_add")
        self.assertEqual(self.daemon.metrics().value("vgpu_kernels_launched_total", vm=8, pool="A"), before + 1)

    def test_library_path_alone(self):
        for variant in ("static-O3", "shared-O0"):
            self.check([program("vector_add", variant)], self.environment(LD_LIBRARY_PATH=str(GUEST)))
        self.check([program("driver_api")], self.environment(LD_LIBRARY_PATH=str(GUEST)), "driver_api")

    def test_preload_alone(self):
        preload = [SANITIZER_ENVIRONMENT["LD_PRELOAD"]] if "LD_PRELOAD" in SANITIZER_ENVIRONMENT else []
        preload.append(str(GUEST / "libcuda.so.1"))
        for variant in ("static-O3", "shared-O0"):
            self.check([program("vector_add", variant)], self.environment(LD_PRELOAD=" ".join(preload)))
        self.check([program("driver_api")], self.environment(LD_PRELOAD=" ".join(preload)), "driver_api")

    def test_ldconfig_alone(self):
        """A linker cache of our own, put over /etc/ld.so.cache in a mount namespace of our own."""
        ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
        unshare = shutil.which("unshare")
        if not ldconfig or not unshare:
            self.skipTest("needs ldconfig and unshare")
        probe = subprocess.run([unshare, "--mount", "--map-root-user", "true"], capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"this machine gives no mount namespace: {probe.stderr.strip()}")
        folder = self.daemon.folder / "ldconfig"
        folder.mkdir()
        # ldconfig skips folders that are no plain directories of root's view; links to the file are what packages have.
        (folder / "ld.so.conf").write_text(f"{GUEST.resolve()}\ninclude /etc/ld.so.conf\n")
        made = subprocess.run([ldconfig, "-X", "-f", folder / "ld.so.conf", "-C", folder / "cache"],
                              capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        if not Path("/etc/ld.so.cache").exists():
            self.skipTest("this machine has no /etc/ld.so.cache to cover")
        script = 'mount --bind "$1" /etc/ld.so.cache && shift && exec "$@"'
        for name in ("vector_add", "driver_api"):
            self.check([unshare, "--mount", "--map-root-user", "sh", "-c", script, "sh", folder / "cache", program(name)],
                       self.environment(), name)

    def test_no_library_at_all(self):
        """Without any of the three the program is not served: what the tests above saw came from them."""
        result = run_program([str(program("vector_add"))], self.environment())
        if result.returncode == 0:
            self.skipTest("this machine has an NVIDIA driver of its own")
        self.assertIn("FAILED", result.stdout)


if __name__ == "__main__":
    unittest.main()
