"""Vector instructions for Numba kernels, written as portable LLVM vector IR.

Numba turns ``int32 * int32`` into int64 and gives no access to dot-product instructions, so the inner
products of the scan kernels are emitted here as LLVM IR over 16-lane (float) and 64-lane (byte) vectors.
LLVM lowers them to whatever the machine has: AVX-512, AVX2, SSE or NEON. One case has a special path, chosen
by a CPU check when the kernel is compiled: unsigned x signed byte products use ``vpdpbusd`` where the machine
has AVX-512 VNNI. Numba's on-disk cache is keyed by CPU name and features, so a cached kernel is never run on
a machine that lacks an instruction.

All functions take *addresses* (``uintp``), because posting lists live in mapped files. Nothing is checked
here: callers own the buffers and the lengths. The byte products read up to 63 bytes past the end of both
operands; lanes past ``n`` count as zero because the *query* operand is zero-padded by its owner
(see ``PAD``), and the storage layout keeps 64 spare bytes at the end of each extent.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

PAD = 64
"""Bytes that must be readable past the end of a byte vector (one 64-byte load)."""

_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_F16, _F32 = ir.HalfType(), ir.FloatType()
_LANES = 16
_VF32 = ir.VectorType(_F32, _LANES)
_VI32 = ir.VectorType(_I32, _LANES)
# Sums may be reassociated and fused; NaN and infinity keep their meaning (inputs are checked, but a damaged
# file may hold either and must not turn into undefined behaviour), so `fast`, `nnan` and `ninf` are not taken.
FLOAT_FLAGS = ("reassoc", "contract", "nsz")


def has_vnni() -> bool:
    """Whether this machine has AVX-512 VNNI (512-bit ``vpdpbusd``)."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512vnni", False) and features.get("avx512f", False))


# --------------------------------------------------------------------------------------------- building blocks


def _pointer(builder: Any, address: Any, of: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType(of))


def _load(builder: Any, address: Any, of: Any, align: int) -> Any:
    value = builder.load(_pointer(builder, address, of), typ=of)
    value.align = align
    return value


def _add_bytes(builder: Any, address: Any, index: Any, size: int) -> Any:
    return builder.add(address, builder.mul(index, ir.Constant(_I64, size)))


def _splat(builder: Any, scalar: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    mask = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def _intrinsic(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _reduce_float(builder: Any, vector: Any) -> Any:
    fn = _intrinsic(builder, "llvm.vector.reduce.fadd.v16f32", _F32, [_F32, _VF32])
    return builder.call(fn, [ir.Constant(_F32, 0.0), vector], fastmath=FLOAT_FLAGS)


def _reduce_int(builder: Any, vector: Any) -> Any:
    return builder.call(_intrinsic(builder, "llvm.vector.reduce.add.v16i32", _I32, [_VI32]), [vector])


def _float_lanes(builder: Any, address: Any, index: Any, of: Any) -> Any:
    """Sixteen elements from ``address + index`` as float32 lanes."""
    size = 2 if isinstance(of, ir.HalfType) else 4
    lanes = _load(builder, _add_bytes(builder, address, index, size), ir.VectorType(of, _LANES), size)
    return builder.fpext(lanes, _VF32) if size == 2 else lanes


def _float_tail(builder: Any, address: Any, index: Any, of: Any, left: Any) -> Any:
    """The last ``left`` (< 16) elements as float32 lanes, zeros behind them, nothing read past the end."""
    size = 2 if isinstance(of, ir.HalfType) else 4
    suffix = "f16" if size == 2 else "f32"
    vector, mask_type = ir.VectorType(of, _LANES), ir.VectorType(_I1, _LANES)
    lane = ir.Constant(_VI32, list(range(_LANES)))
    mask = builder.icmp_signed("<", lane, _splat(builder, builder.trunc(left, _I32), _VI32))
    pointer = _pointer(builder, _add_bytes(builder, address, index, size), vector)
    fn = _intrinsic(builder, f"llvm.masked.load.v16{suffix}.p0", vector, [pointer.type, _I32, mask_type, vector])
    lanes = builder.call(fn, [pointer, ir.Constant(_I32, size), mask, ir.Constant(vector, None)])
    return builder.fpext(lanes, _VF32) if size == 2 else lanes


def _accumulate(builder: Any, squared: bool, acc: Any, left: Any, right: Any) -> None:
    if squared:
        left = builder.fsub(left, right, flags=FLOAT_FLAGS)
        right = left
    product = builder.fmul(left, right, flags=FLOAT_FLAGS)
    builder.store(builder.fadd(builder.load(acc), product, flags=FLOAT_FLAGS), acc)


def _float_sum(builder: Any, a: Any, b: Any, n: Any, of: tuple[Any, Any], squared: bool) -> Any:
    """Sum of products, or of squared differences, of two float vectors; four accumulators hide FMA latency."""
    accs = [cgutils.alloca_once(builder, _VF32) for _ in range(4)]
    for acc in accs:
        builder.store(ir.Constant(_VF32, None), acc)
    step = ir.Constant(_I64, 4 * _LANES)
    wide = builder.and_(n, ir.Constant(_I64, -4 * _LANES))
    full = builder.and_(n, ir.Constant(_I64, -_LANES))
    with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), wide, step, _I64) as (i, _):
        for part, acc in enumerate(accs):
            at = builder.add(i, ir.Constant(_I64, part * _LANES))
            _accumulate(builder, squared, acc, _float_lanes(builder, a, at, of[0]), _float_lanes(builder, b, at, of[1]))
    with cgutils.for_range_slice(builder, wide, full, ir.Constant(_I64, _LANES), _I64) as (i, _):
        _accumulate(builder, squared, accs[0], _float_lanes(builder, a, i, of[0]), _float_lanes(builder, b, i, of[1]))
    left = builder.sub(n, full)
    with builder.if_then(builder.icmp_signed(">", left, ir.Constant(_I64, 0))):
        tails = (_float_tail(builder, a, full, of[0], left), _float_tail(builder, b, full, of[1], left))
        _accumulate(builder, squared, accs[1], *tails)
    values = [builder.load(acc) for acc in accs]
    pair = [builder.fadd(values[k], values[k + 2], flags=FLOAT_FLAGS) for k in range(2)]
    return _reduce_float(builder, builder.fadd(pair[0], pair[1], flags=FLOAT_FLAGS))


def _float_intrinsic(of: tuple[Any, Any], squared: bool, doc: str) -> Any:
    def typed(typingctx: Any, a: Any, b: Any, n: Any) -> Any:
        signature = types.float32(types.uintp, types.uintp, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _float_sum(builder, args[0], args[1], args[2], of, squared)

        return signature, codegen

    typed.__doc__ = doc
    return intrinsic(typed)


# ------------------------------------------------------------------------------------------------ float products

dot_f32 = _float_intrinsic((_F32, _F32), False, "``dot_f32(a, b, n)``: inner product of two float32 vectors.")
l2_f32 = _float_intrinsic((_F32, _F32), True, "``l2_f32(a, b, n)``: squared distance of two float32 vectors.")
dot_f32_f16 = _float_intrinsic((_F32, _F16), False, "``dot_f32_f16(a, b, n)``: float32 times float16.")
l2_f32_f16 = _float_intrinsic((_F32, _F16), True, "``l2_f32_f16(a, b, n)``: float32 against float16, squared.")
dot_f16 = _float_intrinsic((_F16, _F16), False, "``dot_f16(a, b, n)``: inner product of two float16 vectors.")


# ------------------------------------------------------------------------------------------------- byte products


def _step_vnni(builder: Any, acc: Any, u8: Any, s8: Any) -> Any:
    """One ``vpdpbusd``: 64 byte products added into 16 int32 lanes."""
    v64 = ir.VectorType(_I8, 64)
    fn = _intrinsic(builder, "llvm.x86.avx512.vpdpbusd.512", _VI32, [_VI32, v64, v64])
    return builder.call(fn, [acc, u8, s8])


def _step_portable(builder: Any, acc: Any, u8: Any, s8: Any) -> Any:
    """The same sum in plain vector IR: four groups of 16 widened products."""
    for part in range(4):
        pick = ir.Constant(_VI32, list(range(part * 16, part * 16 + 16)))
        left = builder.zext(builder.shuffle_vector(u8, u8, pick), _VI32)
        right = builder.sext(builder.shuffle_vector(s8, s8, pick), _VI32)
        acc = builder.add(acc, builder.mul(left, right))
    return acc


def _byte_intrinsic(step: Any, doc: str) -> Any:
    def typed(typingctx: Any, a: Any, b: Any, n: Any) -> Any:
        signature = types.int32(types.uintp, types.uintp, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            v64 = ir.VectorType(_I8, 64)
            acc = cgutils.alloca_once(builder, _VI32)
            builder.store(ir.Constant(_VI32, None), acc)
            zero, wide = ir.Constant(_I64, 0), ir.Constant(_I64, 64)
            with cgutils.for_range_slice(builder, zero, args[2], wide, _I64) as (i, _):
                u8 = _load(builder, builder.add(args[0], i), v64, 1)
                s8 = _load(builder, builder.add(args[1], i), v64, 1)
                builder.store(step(builder, builder.load(acc), u8, s8), acc)
            return _reduce_int(builder, builder.load(acc))

        return signature, codegen

    typed.__doc__ = doc
    return intrinsic(typed)


dot_u8_s8_vnni = _byte_intrinsic(_step_vnni, "``vpdpbusd`` path of :data:`dot_u8_s8`; needs AVX-512 VNNI.")
dot_u8_s8_portable = _byte_intrinsic(_step_portable, "Portable path of :data:`dot_u8_s8`.")
dot_u8_s8 = dot_u8_s8_vnni if has_vnni() else dot_u8_s8_portable
"""``dot_u8_s8(a, b, n)``: int32 inner product of unsigned bytes at ``a`` and signed bytes at ``b``.

Reads whole 64-byte blocks; one operand must be zero from ``n`` to the next multiple of 64.
"""


# ------------------------------------------------------------------------------------------------------- argmax


def _keep_larger(builder: Any, best: Any, where: Any, values: Any, lanes: Any) -> None:
    """Lane by lane, take ``values`` and their positions where they are larger than the best so far."""
    larger = builder.fcmp_ordered(">", values, builder.load(best))
    builder.store(builder.select(larger, values, builder.load(best)), best)
    builder.store(builder.select(larger, lanes, builder.load(where)), where)


@intrinsic
def largest_difference(typingctx: Any, a: Any, b: Any, n: Any) -> Any:
    """``largest_difference(a, b, n)``: first position (int32) of the largest ``a[j] - b[j]`` of two float32 vectors.

    The caller makes sure that n >= 1 and that no difference is NaN.
    """
    signature = types.int32(types.uintp, types.uintp, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        best, where = cgutils.alloca_once(builder, _VF32), cgutils.alloca_once(builder, _VI32)
        builder.store(ir.Constant(_VF32, [float("-inf")] * _LANES), best)
        builder.store(ir.Constant(_VI32, [0] * _LANES), where)
        lane = ir.Constant(_VI32, list(range(_LANES)))
        full = builder.and_(args[2], ir.Constant(_I64, -_LANES))
        with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), full, ir.Constant(_I64, _LANES), _I64) as (i, _):
            values = builder.fsub(_float_lanes(builder, args[0], i, _F32), _float_lanes(builder, args[1], i, _F32))
            lanes = builder.add(_splat(builder, builder.trunc(i, _I32), _VI32), lane)
            _keep_larger(builder, best, where, values, lanes)
        left = builder.sub(args[2], full)
        with builder.if_then(builder.icmp_signed(">", left, ir.Constant(_I64, 0))):
            values = builder.fsub(
                _float_tail(builder, args[0], full, _F32, left), _float_tail(builder, args[1], full, _F32, left)
            )
            inside = builder.icmp_signed("<", lane, _splat(builder, builder.trunc(left, _I32), _VI32))
            values = builder.select(inside, values, ir.Constant(_VF32, [float("-inf")] * _LANES))
            lanes = builder.add(_splat(builder, builder.trunc(full, _I32), _VI32), lane)
            _keep_larger(builder, best, where, values, lanes)
        top = builder.call(_intrinsic(builder, "llvm.vector.reduce.fmax.v16f32", _F32, [_VF32]), [builder.load(best)])
        equal = builder.fcmp_ordered("==", builder.load(best), _splat(builder, top, _VF32))
        far = ir.Constant(_VI32, [2**31 - 1] * _LANES)
        first = builder.select(equal, builder.load(where), far)
        return builder.call(_intrinsic(builder, "llvm.vector.reduce.smin.v16i32", _I32, [_VI32]), [first])

    return signature, codegen


# ------------------------------------------------------------------------------------------------ plain memory


def _scalar_load(ll_type: Any, numba_type: Any, doc: str) -> Any:
    def typed(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _load(builder, args[0], ll_type, 1)

        return numba_type(types.uintp), codegen

    typed.__doc__ = doc
    return intrinsic(typed)


load_u32 = _scalar_load(_I32, types.uint32, "``load_u32(address)``: unaligned uint32.")
load_i32 = _scalar_load(_I32, types.int32, "``load_i32(address)``: unaligned int32.")
load_f32 = _scalar_load(_F32, types.float32, "``load_f32(address)``: unaligned float32.")


@intrinsic
def float_bits(typingctx: Any, value: Any) -> Any:
    """``float_bits(x)``: the 32 bits of a float32 as uint32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I32)

    return types.uint32(types.float32), codegen


@intrinsic
def bits_float(typingctx: Any, value: Any) -> Any:
    """``bits_float(u)``: the float32 that has these 32 bits."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _F32)

    return types.float32(types.uint32), codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """``prefetch(address)``: ask the CPU to load a cache line; never faults."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], _I8)
        fn = _intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        builder.call(fn, [pointer, *(ir.Constant(_I32, v) for v in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.uintp), codegen


@intrinsic
def array_f32(typingctx: Any, address: Any, n: Any) -> Any:
    """``array_f32(address, n)``: a float32 array view of memory owned by somebody else."""
    return _array_view(types.float32)


@intrinsic
def array_u32(typingctx: Any, address: Any, n: Any) -> Any:
    """``array_u32(address, n)``: a uint32 array view of memory owned by somebody else."""
    return _array_view(types.uint32)


@intrinsic
def array_u64(typingctx: Any, address: Any, n: Any) -> Any:
    """``array_u64(address, n)``: a uint64 array view of memory owned by somebody else."""
    return _array_view(types.uint64)


def _array_view(element: Any) -> Any:
    result = types.Array(element, 1, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(result)(context, builder)
        data = builder.inttoptr(args[0], context.get_data_type(element).as_pointer())
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(element)))
        from numba.np.arrayobj import populate_array

        populate_array(array, data=data, shape=(args[1],), strides=(size,), itemsize=size, meminfo=None)
        return array._getvalue()

    return result(types.uintp, types.intp), codegen
