"""The @cuda repository: the toolkit of CUDA_HOME (default /usr/local/cuda), or empty targets where there is none.

Targets, all of them usable from any build configuration:
    @cuda//:runtime   CUDA runtime, static, with its headers
    @cuda//:cudnn     cuDNN 9
    @cuda//:cublas    cuBLAS
@cuda//:defs.bzl has CUDA_HOME, "" where there is no toolkit; what needs one fails when it is built, never earlier.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = glob(["include/*.h", "include/*.hpp", "include/crt/*"], allow_empty = True),
    includes = ["include"],
)

cc_library(name = "runtime", linkopts = {runtime}, deps = [":headers"])

cc_library(name = "cudnn", linkopts = {cudnn}, deps = [":runtime"])

cc_library(name = "cublas", linkopts = {cublas}, deps = [":runtime"])
"""

def _library_folder(repository_ctx, home):
    for name in ["lib64", "lib"]:
        folder = home.get_child(name)
        if folder.get_child("libcudart_static.a").exists:
            return str(folder)
    fail("no libcudart_static.a in {}/lib64 or {}/lib: set CUDA_HOME to a complete CUDA toolkit".format(home, home))

def _cuda_configure_impl(repository_ctx):
    home = repository_ctx.path(repository_ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    found = home.get_child("bin").get_child("nvcc").exists
    options = {"runtime": [], "cudnn": [], "cublas": []}
    if found:
        folder = _library_folder(repository_ctx, home)
        repository_ctx.symlink(home.get_child("include"), "include")
        search = ["-L" + folder, "-Wl,-rpath," + folder]
        options["runtime"] = ["-L" + folder, "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
        options["cudnn"] = search + ["-lcudnn"]
        options["cublas"] = search + ["-lcublas", "-lcublasLt"]
    repository_ctx.file("BUILD", _BUILD.format(**{key: repr(value) for key, value in options.items()}))
    repository_ctx.file("defs.bzl", 'CUDA_HOME = "{}"\n'.format(home if found else ""))

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = ["CUDA_HOME"],
    local = True,
)
