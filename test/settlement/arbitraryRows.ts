/** Rows of every kind and type, as fast-check makes them: whatever a valid transaction can have, and much that none has. */
import fc from 'fast-check'
import { type AbiParameter, bytesToHex, type Hex, hexToBytes } from 'viem'
import { NATIVE_TYPES, type SignedNative } from '../../execution/native/native.ts'
import type { Row } from '../../execution/native/row.ts'
import { REFUSED, type Verdict } from '../../execution/native/verdict.ts'
import { reportOf } from '../../execution/report.ts'
import { EVIDENCE_BYTES } from '../../genesis/params.ts'

/** The chain of all of them. */
export const CHAIN_ID = 73_571
const hexOf = (minLength: number, maxLength = minLength): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => bytesToHex(bytes))
const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })

/** Values of a parameter, as execution/fields.ts has them. */
function valuesOf(parameter: AbiParameter): fc.Arbitrary<unknown> {
  const { type } = parameter
  if (type.endsWith('[]')) return fc.array(valuesOf({ ...parameter, type: type.slice(0, -2) }), { maxLength: 4 })
  if ('components' in parameter) return fieldsOf(parameter.components)
  if (type === 'string') return fc.string({ unit: 'binary', maxLength: 70 })
  if (type === 'address') return hexOf(20)
  if (type === 'bytes') return hexOf(0, 70)
  if (type.startsWith('bytes')) return hexOf(Number(type.slice(5)))
  const bits = Number(type.slice('uint'.length))
  return bits <= 48 ? fc.integer({ min: 0, max: 2 ** bits - 1 }) : uint(bits)
}

function fieldsOf(parameters: readonly AbiParameter[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(parameters.map((one) => [one.name ?? '', valuesOf(one)])), { noNullPrototype: true })
}

const lowS = fc.bigInt({ min: 0n, max: 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n })
const signatureOf = (s: bigint, v: number, r: Uint8Array): Hex =>
  `${bytesToHex(r)}${s.toString(16).padStart(64, '0')}${v.toString(16).padStart(2, '0')}`
const entries = fc
  .array(
    fc.tuple(fc.oneof(fc.nat(50), fc.integer({ min: 0, max: 2 ** 24 })), fc.oneof(fc.nat(7), fc.integer({ min: 0, max: 2 ** 48 - 2 }))),
    {
      maxLength: 40,
    },
  )
  .map((steps) => {
    let account = -1
    return {
      accounts: steps.map(([step]) => {
        account += 1 + step
        return account
      }),
      amountsGwei: steps.map(([, amount]) => 1 + amount),
    }
  })
/** A credit as its row has it: draws that name its worker and are signed, and entries that ascend. */
const creditOf = (parameters: readonly AbiParameter[]) =>
  fc
    .tuple(
      fieldsOf(parameters),
      entries,
      fc.array(fc.tuple(fc.boolean(), lowS, fc.constantFrom(0, 1, 27, 28)), { minLength: 4, maxLength: 4 }),
    )
    .map(([fields, lists, signed]) => ({
      ...fields,
      ...lists,
      draws: (fields.draws as { request: object }[]).map((draw, i) => {
        const [isSame, s, v] = signed[i] ?? [true, 1n, 27]
        const model = isSame ? { modelId: fields.modelId } : {}
        const request = { ...draw.request, worker: fields.worker, ...model }
        return { ...draw, request, signature: signatureOf(s, v, new Uint8Array(32).fill(i + 1)) }
      }),
    }))
const withCid = (fields: Record<string, unknown>, form: number) => {
  const root = (fields.contentRoot as Hex).slice(2)
  const id = [`0x01551b20${root}`, `0x01551220${root}`, `0x01551b20${root}00`, fields.contentId][form]
  return { ...fields, contentId: id }
}
const fieldsOfType = ({ name, fields: { parameters } }: (typeof NATIVE_TYPES)[number]): fc.Arbitrary<Record<string, unknown>> => {
  if (name === 'AttributionCredit') return creditOf(parameters)
  return name === 'DatanetUpload'
    ? fc.tuple(fieldsOf(parameters), fc.nat(3)).map(([fields, form]) => withCid(fields, form))
    : fieldsOf(parameters)
}
const typed = fc.constantFrom(...NATIVE_TYPES).chain((type) => fieldsOfType(type).map((fields) => ({ type, fields })))
/** Native transactions, signed by nobody. */
export const natives: fc.Arbitrary<SignedNative> = fc
  .record({
    typed,
    nonce: uint(64),
    maxFeeWei: uint(96),
    yParity: fc.constantFrom(0, 1),
    r: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    s: lowS,
  })
  .map(({ typed: { type, fields }, nonce, maxFeeWei, yParity, r, s }) => {
    const signature = { yParity: yParity === 1 ? (1 as const) : (0 as const), r, s: hexToBytes(`0x${s.toString(16).padStart(64, '0')}`) }
    return { type, chainId: CHAIN_ID, nonce, maxFeeWei, fields, signature }
  })
const verdicts: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constant(REFUSED),
  uint(96).map((feeWei) => ({ kind: 'void' as const, feeWei })),
  fc.record({
    kind: fc.constant('entries' as const),
    feeWei: uint(96),
    changes: fc.array(fc.record({ account: fc.nat(2 ** 31 - 1), amountGwei: fc.integer({ min: 0, max: 2 ** 48 - 1 }) }), { maxLength: 5 }),
  }),
)
/** Rows of disputes, and no others, say a verdict. */
const judged = ({ name }: (typeof NATIVE_TYPES)[number], verdict: Verdict) => (name === 'CreditDispute' ? { verdict } : {})

/** Rows. */
export const rows: fc.Arbitrary<Row> = fc.oneof(
  fc.record({
    kind: fc.constant('block' as const),
    number: uint(64),
    timestampMs: fc.nat(Number.MAX_SAFE_INTEGER),
    baseFeeWei: uint(96),
    coinbase: hexOf(20),
  }),
  fc.record({ kind: fc.constant('l1Info' as const), number: uint(64), blobBaseFee: uint(128) }),
  fc.record({ kind: fc.constant('deposit' as const), index: uint(64) }),
  fc.tuple(natives, verdicts).map(([native, verdict]) => ({ kind: 'native' as const, native, ...judged(native.type, verdict) })),
  fc.record({ typed, caller: hexOf(20), verdict: verdicts }).map(({ typed: { type, fields }, caller, verdict }) => ({
    kind: 'operation' as const,
    operation: { type, caller, fields },
    ...judged(type, verdict),
  })),
  fc
    .uint8Array({ minLength: EVIDENCE_BYTES, maxLength: EVIDENCE_BYTES })
    .map((evidence) => ({ kind: 'report' as const, report: reportOf(evidence) })),
)
