"""cuda_library: .cu files compiled by nvcc into objects that link like those of a cc_library.

Device code is made for sm_80 and sm_90, and as PTX for what comes later. The target is skipped by wildcards, and
cannot be built, without --config=cuda. With --config=emulated_gpu the C++ compiler makes code of them that runs on the
CPU (tests/emulated_gpu).
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:defs.bzl", "CUDA_HOME")
load("//tests/emulated_gpu:emulated_library.bzl", "compile_emulated")

_ARCHITECTURES = [
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=sm_90",
    "-gencode=arch=compute_90,code=compute_90",
]

# As .bazelrc has it for .cc files: nothing is contracted into FMA unless asked for by an intrinsic, so that kernels
# round as the host does. nvcc's own expansion is not free of -Wshadow.
_FLAGS = [
    "-std=c++17",
    "-O3",
    "--fmad=false",
    "--expt-relaxed-constexpr",
    "--extended-lambda",
    "-Werror=all-warnings",
    "-Xcompiler=-fPIC,-fopenmp,-ffp-contract=off,-fno-math-errno,-Wall,-Wextra",
]

def _include_flags(context):
    flags = []
    for option, folders in [
        ("-I", context.includes),
        ("-iquote", context.quote_includes),
        ("-isystem", context.system_includes),
    ]:
        # nvcc knows no -iquote; our quoted includes have unmistakable names.
        nvcc_option = "-I" if option == "-iquote" else option
        for folder in folders.to_list():
            flags += [nvcc_option, folder]
    return flags

def _compile(ctx, source, context):
    output = ctx.actions.declare_file("_cuda/{}/{}.o".format(ctx.label.name, source.basename[:-len(".cu")]))
    arguments = ctx.actions.args()
    arguments.add_all(_ARCHITECTURES + _FLAGS + ctx.attr.copts + _include_flags(context))
    arguments.add_all(["-c", source, "-o", output])
    ctx.actions.run(
        executable = CUDA_HOME + "/bin/nvcc",
        arguments = [arguments],
        inputs = depset([source] + ctx.files.hdrs, transitive = [context.headers]),
        outputs = [output],
        env = {"PATH": "/usr/bin:/bin"},
        mnemonic = "CudaCompile",
        progress_message = "Compiling %s with nvcc" % source.short_path,
    )
    return output

def _cuda_library_impl(ctx):
    if not CUDA_HOME:
        fail("no CUDA toolkit: set CUDA_HOME to one (default /usr/local/cuda), or build without --config=cuda")
    own = cc_common.create_compilation_context(
        headers = depset(ctx.files.hdrs),
        quote_includes = depset([".", ctx.bin_dir.path]),
    )
    infos = [dep[CcInfo] for dep in ctx.attr.deps]
    merged = cc_common.merge_cc_infos(cc_infos = [CcInfo(compilation_context = own)] + infos)
    context = merged.compilation_context
    if ctx.attr.emulated:
        objects = depset(compile_emulated(ctx, context, _include_flags(context)))
    else:
        objects = depset([_compile(ctx, source, context) for source in ctx.files.srcs])
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(ctx = ctx, cc_toolchain = toolchain)
    linking, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        cc_toolchain = toolchain,
        feature_configuration = features,
        compilation_outputs = cc_common.create_compilation_outputs(objects = objects, pic_objects = objects),
        linking_contexts = [info.linking_context for info in infos],
        disallow_dynamic_library = True,
    )
    return [
        DefaultInfo(files = objects),
        CcInfo(compilation_context = merged.compilation_context, linking_context = linking),
    ]

_cuda_library = rule(
    implementation = _cuda_library_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
        "emulated": attr.bool(),
        "_launches": attr.label(default = "//tests/emulated_gpu:launches.py", allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

# What a target that needs CUDA passes as target_compatible_with.
NEEDS_CUDA = select({
    "//third_party/cuda:enabled": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

# The same of what does not work with the emulated GPU.
NEEDS_REAL_CUDA = select({
    "//third_party/cuda:emulated": ["@platforms//:incompatible"],
    "//third_party/cuda:enabled": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

# The same of what looks into the emulated GPU.
NEEDS_EMULATED_GPU = select({
    "//third_party/cuda:emulated": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

def cuda_library(name, srcs, deps = [], **kwargs):
    """Like cc_library, for .cu files: srcs, hdrs, deps, copts (nvcc's), visibility."""
    _cuda_library(
        name = name,
        srcs = srcs,
        deps = deps + ["//third_party/cuda:runtime"] + select({
            "//third_party/cuda:emulated": ["//tests/emulated_gpu:device_code"],
            "//conditions:default": [],
        }),
        emulated = select({
            "//third_party/cuda:emulated": True,
            "//conditions:default": False,
        }),
        target_compatible_with = NEEDS_CUDA,
        **kwargs
    )
