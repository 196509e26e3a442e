"""The @cuda repository: the toolkit of CUDA_HOME (default /usr/local/cuda), or empty targets where there is none.

Targets, all of them usable from any build configuration:
    @cuda//:runtime   CUDA runtime, static, with its headers
    @cuda//:cudnn     cuDNN 9
    @cuda//:cublas    cuBLAS
    @cuda//:cupti     CUPTI, with its headers
@cuda//:defs.bzl has CUDA_HOME, "" where there is no toolkit; what needs one fails when it is built, never earlier. It
also has HAS_CUPTI, as not every toolkit has that.
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

cc_library(
    name = "cupti",
    hdrs = glob(["cupti_include/*.h"], allow_empty = True),
    includes = ["cupti_include"],
    linkopts = {cupti},
    deps = [":headers"],
)
"""

def _library_folder(repository_ctx, home):
    for name in ["lib64", "lib"]:
        folder = home.get_child(name)
        if folder.get_child("libcudart_static.a").exists:
            return folder
    fail("no libcudart_static.a in {}/lib64 or {}/lib: set CUDA_HOME to a complete CUDA toolkit".format(home, home))

def _search(folder):
    return ["-L" + str(folder), "-Wl,-rpath," + str(folder)]

# CUPTI's headers and library: in a folder of its own, or among the others. None where there is none.
def _cupti_folders(home, folder):
    own = home.get_child("extras").get_child("CUPTI")
    libraries = [own.get_child("lib64"), own.get_child("lib"), folder]
    libraries = [library for library in libraries if library.get_child("libcupti.so").exists]
    headers = [own.get_child("include"), home.get_child("include")]
    headers = [header for header in headers if header.get_child("cupti.h").exists]
    return (headers[0], libraries[0]) if headers and libraries else None

def _cuda_configure_impl(repository_ctx):
    home = repository_ctx.path(repository_ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    found = home.get_child("bin").get_child("nvcc").exists
    options = {"runtime": [], "cudnn": [], "cublas": [], "cupti": []}
    cupti = None
    if found:
        folder = _library_folder(repository_ctx, home)
        repository_ctx.symlink(home.get_child("include"), "include")
        search = _search(folder)
        options["runtime"] = ["-L" + str(folder), "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
        options["cudnn"] = search + ["-lcudnn"]
        options["cublas"] = search + ["-lcublas", "-lcublasLt"]
        cupti = _cupti_folders(home, folder)
    if cupti:
        repository_ctx.symlink(cupti[0], "cupti_include")
        options["cupti"] = _search(cupti[1]) + ["-lcupti"]
    repository_ctx.file("BUILD", _BUILD.format(**{key: repr(value) for key, value in options.items()}))
    repository_ctx.file("defs.bzl", 'CUDA_HOME = "{}"\nHAS_CUPTI = {}\n'.format(
        home if found else "",
        cupti != None,
    ))

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = ["CUDA_HOME"],
    local = True,
)
