"""compile_emulated: .cu files compiled by the C++ compiler for the emulated GPU."""

_FLAGS = [
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-fopenmp",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-Wno-unknown-pragmas",
]

def _rewrite(ctx, file, root):
    output = ctx.actions.declare_file("{}/{}".format(root, file.short_path))
    arguments = ctx.actions.args()
    arguments.add_all([ctx.file._launches, file, output])
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = [arguments],
        inputs = [file, ctx.file._launches],
        outputs = [output],
        mnemonic = "EmulatedLaunches",
    )
    return output

def compile_emulated(ctx, context, include_flags):
    """An object file for each of ctx.files.srcs.

    Args:
      ctx: of a rule with the attributes of cuda_library; headers that launch kernels are in hdrs.
      context: the compilation context, headers of tests/emulated_gpu among them.
      include_flags: its folders, as the compiler's options.
    Returns:
      the objects.
    """
    root = "_emulated/" + ctx.label.name
    headers = [_rewrite(ctx, header, root) for header in ctx.files.hdrs]
    folder = "{}/{}/{}".format(ctx.bin_dir.path, ctx.label.package, root)
    objects = []
    for source in ctx.files.srcs:
        rewritten = _rewrite(ctx, source, root)
        output = ctx.actions.declare_file("{}/{}.o".format(root, source.short_path))
        arguments = ctx.actions.args()
        arguments.add_all(_FLAGS + ctx.fragments.cpp.copts + ["-iquote", folder] + include_flags)
        arguments.add_all(["-include", "tests/emulated_gpu/device_code.h", "-x", "c++", "-c", rewritten, "-o", output])
        ctx.actions.run(
            executable = "/usr/bin/g++",
            arguments = [arguments],
            inputs = depset([rewritten] + headers, transitive = [context.headers]),
            outputs = [output],
            env = {"PATH": "/usr/bin:/bin"},
            mnemonic = "EmulatedCompile",
            progress_message = "Compiling %s for the emulated GPU" % source.short_path,
        )
        objects.append(output)
    return objects
