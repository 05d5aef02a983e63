"""An image that a process mapped from a file crosses once for each user of each VM; later processes only name it."""

import os
import tempfile
import unittest
from pathlib import Path

from harness import DaemonTest

# A guest without a compiler: loads a mapped file as a library and runs its kernel.
GUEST = r"""
import ctypes, os, sys
cuda, libc = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    if result != 0: sys.exit(f"{name} returned {result}")
size = os.path.getsize(sys.argv[1])
image = libc.mmap(None, size, 1, 2, os.open(sys.argv[1], os.O_RDONLY), 0)
context, library, kernel, memory = (ctypes.c_void_p() for _ in range(4))
call("cuInit", 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
call("cuCtxSetCurrent", context)
call("cuLibraryLoadData", ctypes.byref(library), ctypes.c_void_p(image), None, None, 0, None, None, 0)
call("cuLibraryGetKernel", ctypes.byref(kernel), library, b"answer")
call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(4))
parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.pointer(memory), ctypes.c_void_p))
call("cuLaunchKernel", kernel, 1, 1, 1, 1, 1, 1, 0, None, parameters, None)
answer = ctypes.c_int()
call("cuMemcpyDtoH_v2", ctypes.byref(answer), memory, ctypes.c_size_t(4))
call("cuLibraryUnload", library)
print("answer", answer.value)
"""

KERNEL = """.version 8.0
.target sm_80
.address_size 64
.visible .entry answer(.param .u64 to) {
  .reg .u64 %rd<2>;
  .reg .u32 %r<2>;
  ld.param.u64 %rd1, [to];
  mov.u32 %r1, ANSWER;
  st.global.u32 [%rd1], %r1;
  ret;
}
"""


def image(answer):
    """Large enough to be worth a look, small enough to compile at once; a text, so it ends with a NUL."""
    return KERNEL.replace("ANSWER", str(answer)).encode() + (b"// " + b"x" * 60 + b"\n") * 6000 + b"\0"


class Images(DaemonTest):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory(prefix="vgpu-images-")
        cls.CONFIG = f'[executor]\nimages = "{cls.kept.name}"\n'
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        left = os.listdir(cls.kept.name)
        cls.kept.cleanup()
        assert left == [], f"the daemon left {left}"

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="vgpu-images-")
        self.addCleanup(self.folder.cleanup)
        self.file = Path(self.folder.name) / "library"
        self.file.write_bytes(image(42))

    def load(self, vm, answer):
        """Runs the guest; returns how each of its requests named the image (ImageSource), with what result."""
        before = len(self.daemon.log_lines(f"vm={vm} ", "call=cuLibraryLoadData"))
        result = self.daemon.run("python3", "-c", GUEST, self.file, vm=vm, pool="A")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(f"answer {answer}", result.stdout)
        self.daemon.wait_idle()
        lines = self.daemon.log_lines(f"vm={vm} ", "call=cuLibraryLoadData")[before:]
        return [(line.split("source=")[1].split()[0], line.split("result=")[1].split()[0]) for line in lines]

    UNKNOWN = [("2", "CUDA_ERROR_FILE_NOT_FOUND"), ("1", "CUDA_SUCCESS")]
    KNOWN = [("2", "CUDA_SUCCESS")]

    def test_the_second_process_only_names_it(self):
        self.assertEqual(self.load(201, 42), self.UNKNOWN)
        self.assertEqual(self.load(201, 42), self.KNOWN)

    def test_another_vm_gets_nothing_of_it(self):
        self.assertEqual(self.load(202, 42), self.UNKNOWN)
        self.assertEqual(self.load(203, 42), self.UNKNOWN)

    def test_a_changed_file_is_another_image(self):
        self.assertEqual(self.load(204, 42), self.UNKNOWN)
        self.file.write_bytes(image(43))
        self.assertEqual(self.load(204, 43), self.UNKNOWN)
        self.assertEqual(self.load(204, 43), self.KNOWN)

    def test_a_small_image_just_crosses(self):
        self.file.write_bytes(KERNEL.replace("ANSWER", "44").encode() + b"\0")
        self.assertEqual(self.load(205, 44), [("0", "CUDA_SUCCESS")])


class Off(Images):
    """Without a folder everything works, and crosses each time."""

    KNOWN = Images.UNKNOWN

    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory(prefix="vgpu-images-")
        cls.CONFIG = '[executor]\nimages = "off"\n'
        super(Images, cls).setUpClass()


if __name__ == "__main__":
    unittest.main()
