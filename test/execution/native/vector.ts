/**
 * Native transactions as viem alone makes them from the pages of docs/spec/: nothing of execution/ is used here, so that the
 * vectors in test/vectors/native.json, which this file can make again, hold our codec against somebody else's.
 */
import {
  type Abi,
  concatHex,
  encodeFunctionData,
  type Hex,
  hashTypedData,
  hexToBytes,
  keccak256,
  numberToHex,
  parseAbi,
  parseSignature,
  size,
  stringToHex,
  toRlp,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

/** Members of each native type and of the structs in them, as docs/spec/transactions.md lists them. */
const MEMBERS: Readonly<Record<string, string>> = {
  Transfer: 'uint8 kind,address to,uint96 amount',
  DatanetCreate: 'string name,bytes32 schemaHash,uint32 licence,address curator,uint8 joinPolicy,uint96 uploadBond',
  DatanetUpload: 'uint32 datanetId,bytes32 contentRoot,bytes contentId,uint32 recordCount,uint64 byteCount,Contributor[] contributors',
  DatanetReview: 'uint32 datanetId,uint32 uploadIndex,uint8 verdict,uint16 qualityBps,uint8 reason',
  ModelRegister:
    'string name,bytes32 baseHash,bytes32 adapterHash,bytes32 tokenizerHash,bytes32 trainingConfigHash,bytes32 runtimeProfileHash,uint32 useFlags,DatanetSnapshot[] datanets,uint96 priceBase,uint96 pricePrompt,uint96 priceOutput,uint16 ownerBps,uint16 workerBps,uint16 contributorBps,uint96 minStake,uint8 maxTier',
  WorkerRegister: 'uint8 action,address hotKey,bytes32 runtimeProfileHash,uint96 stake,string endpoint',
  AttributionCredit:
    'address worker,bytes32 modelId,uint64 firstSeq,uint32 count,bytes32 receiptsRoot,bytes32 attributionRoot,uint64 promptTokens,uint64 outputTokens,Draw[] draws,uint32[] accounts,uint48[] amountsGwei',
  CreditDispute:
    'uint8 kind,address worker,uint32 creditIndex,Drawn[] drawn,uint32[] accounts,uint48[] amountsGwei,bytes evidence,bytes opened',
  Claim: 'uint32[] epochs',
  Contributor: 'address account,uint16 shareBps,uint8 role',
  DatanetSnapshot: 'uint32 datanetId,bytes32 snapshotRoot,uint32 uploadCount,uint32 recordCount,uint16 weightBps',
  Draw: 'InferenceRequest request,bytes signature,uint96 amount',
  Drawn: 'address client,uint96 amount',
  InferenceRequest:
    'address client,address worker,bytes32 modelId,bytes32 promptCommit,bytes32 paramsHash,uint64 seed,uint32 maxOutputTokens,uint96 maxFee,uint96 cumulativeMaxFee,uint64 nonce,uint64 deadline',
}

const DOORS: Readonly<Record<string, { byte: number; door: Hex; functionName: string }>> = {
  Transfer: { byte: 0x50, door: '0x0000000000000000000000000000000000000a00', functionName: 'transfer' },
  DatanetCreate: { byte: 0x51, door: '0x0000000000000000000000000000000000000a01', functionName: 'create' },
  DatanetUpload: { byte: 0x52, door: '0x0000000000000000000000000000000000000a01', functionName: 'upload' },
  DatanetReview: { byte: 0x53, door: '0x0000000000000000000000000000000000000a01', functionName: 'review' },
  ModelRegister: { byte: 0x54, door: '0x0000000000000000000000000000000000000a02', functionName: 'register' },
  WorkerRegister: { byte: 0x55, door: '0x0000000000000000000000000000000000000a03', functionName: 'register' },
  AttributionCredit: { byte: 0x56, door: '0x0000000000000000000000000000000000000a04', functionName: 'credit' },
  CreditDispute: { byte: 0x57, door: '0x0000000000000000000000000000000000000a04', functionName: 'dispute' },
  Claim: { byte: 0x58, door: '0x0000000000000000000000000000000000000a04', functionName: 'claim' },
}

/** A value as JSON has it: integers above 48 bits are decimal strings. */
export type Json = string | number | readonly Json[] | { readonly [name: string]: Json }
type Value = string | number | bigint | readonly Value[] | { readonly [name: string]: Value }

/** What a vector is made from. */
export type VectorInput = {
  readonly name: string
  readonly type: string
  readonly chainId: number
  readonly nonce: string
  readonly maxFee: string
  readonly privateKey: Hex
  readonly fields: { readonly [name: string]: Json }
}

export type Vector = VectorInput & {
  readonly raw: Hex
  readonly hash: Hex
  readonly signingHash: Hex
  readonly sender: Hex
  /** The fields, members at their widths. */
  readonly packed: Hex
  /** The fields as they stand in the row, and the bytes that are paid for. */
  readonly row: Hex
  readonly rowBytes: number
  readonly gas: number
  readonly callData: Hex
}

/** The vector that viem makes from the input. */
export async function makeVector(input: VectorInput): Promise<Vector> {
  const { type, chainId, privateKey } = input
  const { byte, door } = doorOf(type)
  const fields = fieldsOf(input)
  const message = { nonce: BigInt(input.nonce), maxFee: BigInt(input.maxFee), ...fields }
  const domain = { name: 'Tributary', version: '1', chainId, verifyingContract: door }
  const typed = { domain, types: eip712Types(type), primaryType: type, message }
  const account = privateKeyToAccount(privateKey)
  const { r, s, yParity } = parseSignature(await account.signTypedData(typed))
  const head = [rlpInt(chainId), rlpInt(message.nonce), rlpInt(message.maxFee)]
  const items = [
    ...head,
    ...membersOf(type).map((member) => rlpOf(member.type, fields[member.name] ?? '')),
    rlpInt(yParity),
    rlpInt(BigInt(r)),
    rlpInt(BigInt(s)),
  ]
  const raw = concatHex([numberToHex(byte, { size: 1 }), toRlp(items)])
  const packed = concatHex(['0x', ...membersOf(type).map((member) => packOf(member.type, fields[member.name] ?? ''))])
  const row = rowOf(type, fields)
  // A dispute's verdict counts as 1,600 bytes, whatever it is.
  const attached = type === 'CreditDispute' ? 1_600 + size(fields.evidence as Hex) + size(fields.opened as Hex) : 0
  const rowBytes = 84 + size(row) + attached
  return {
    ...input,
    raw,
    hash: keccak256(raw),
    signingHash: hashTypedData(typed),
    sender: account.address.toLowerCase() as Hex,
    packed,
    row,
    rowBytes,
    gas: 9_000 + 16 * rowBytes + itemGasOf(fields),
    callData: callDataOf(type, fields),
  }
}

/** The fields of an input with the types that viem has for them. */
export function fieldsOf({ type, fields }: VectorInput): { readonly [name: string]: Value } {
  return valueOfJson(type, fields) as { readonly [name: string]: Value }
}

function doorOf(type: string): { byte: number; door: Hex; functionName: string } {
  const known = DOORS[type]
  if (!known) throw new Error(`no native type ${type}`)
  return known
}

function membersOf(struct: string): { type: string; name: string }[] {
  const members = MEMBERS[struct]?.split(',') ?? []
  return members.map((member) => ({ type: member.split(' ')[0] ?? '', name: member.split(' ')[1] ?? '' }))
}

/** The type's own members behind those of every message, and every struct that it may name. */
function eip712Types(type: string): Record<string, { type: string; name: string }[]> {
  const structs = Object.keys(MEMBERS).filter((struct) => !(struct in DOORS))
  const head = [
    { type: 'uint64', name: 'nonce' },
    { type: 'uint96', name: 'maxFee' },
  ]
  return { ...Object.fromEntries(structs.map((struct) => [struct, membersOf(struct)])), [type]: [...head, ...membersOf(type)] }
}

function valueOfJson(type: string, json: Json): Value {
  if (type.endsWith('[]')) return (json as readonly Json[]).map((item) => valueOfJson(type.slice(0, -2), item))
  if (type in MEMBERS) {
    const object = json as { readonly [name: string]: Json }
    return Object.fromEntries(membersOf(type).map((member) => [member.name, valueOfJson(member.type, object[member.name] ?? '')]))
  }
  return type.startsWith('uint') && Number(type.slice(4)) > 48 ? BigInt(json as string) : (json as string | number)
}

type Rlp = Hex | Rlp[]

function rlpOf(type: string, value: Value): Rlp {
  if (type.endsWith('[]')) return (value as readonly Value[]).map((item) => rlpOf(type.slice(0, -2), item))
  if (type in MEMBERS) {
    const object = value as { readonly [name: string]: Value }
    return membersOf(type).map((member) => rlpOf(member.type, object[member.name] ?? ''))
  }
  if (type.startsWith('uint')) return rlpInt(value as number | bigint)
  return type === 'string' ? stringToHex(value as string) : (value as Hex)
}

function rlpInt(value: number | bigint): Hex {
  const digits = value.toString(16)
  return value === 0 || value === 0n ? '0x' : `0x${digits.length % 2 === 0 ? digits : `0${digits}`}`
}

function packOf(type: string, value: Value): Hex {
  if (type.endsWith('[]')) {
    const items = value as readonly Value[]
    return concatHex([numberToHex(items.length, { size: 2 }), ...items.map((item) => packOf(type.slice(0, -2), item))])
  }
  if (type in MEMBERS) {
    const object = value as { readonly [name: string]: Value }
    return concatHex(membersOf(type).map((member) => packOf(member.type, object[member.name] ?? '')))
  }
  if (type.startsWith('uint')) return numberToHex(value as number | bigint, { size: Number(type.slice(4)) / 8 })
  const bytes = type === 'string' ? stringToHex(value as string) : (value as Hex)
  return type === 'string' || type === 'bytes' ? concatHex([numberToHex(hexToBytes(bytes).length, { size: 2 }), bytes]) : bytes
}

// ---- the row form, from docs/spec/batch.md#rows, by bits and strings ------------------------------------------------------------------

function varint(value: number | bigint): Hex {
  const low = numberToHex(Number(BigInt(value) & 0x7fn) | (BigInt(value) > 0x7fn ? 0x80 : 0), { size: 1 })
  return BigInt(value) > 0x7fn ? concatHex([low, varint(BigInt(value) >> 7n)]) : low
}

function amount(wei: bigint): Hex {
  if (wei === 0n) return '0x00'
  let scale = 0
  while (wei % 1000n ** BigInt(scale + 1) === 0n) scale++
  const units = rlpInt(wei / 1000n ** BigInt(scale))
  return concatHex([numberToHex(16 * scale + size(units), { size: 1 }), units])
}

function rowOf(type: string, value: Value): Hex {
  const object = value as { readonly [name: string]: Value }
  const members = () => membersOf(type).map((member) => [member.name, rowOf(member.type, object[member.name] ?? '')] as const)
  if (type === 'AttributionCredit') return creditRow(object)
  if (type === 'DatanetUpload') {
    const root = (object.contentRoot as Hex).slice(2)
    const id = object.contentId as Hex
    const isSha = id.startsWith('0x01551220') && size(id) === 36
    const cid = id === `0x01551b20${root}` ? '0x00' : isSha ? (`0x01${id.slice(10)}` as Hex) : concatHex([varint(2 + size(id)), id])
    return concatHex(members().map(([name, hex]) => (name === 'contentId' ? cid : hex)))
  }
  if (type === 'CreditDispute') {
    const attached = (hex: Hex) => concatHex([varint(size(hex)), keccak256(hex)])
    return concatHex(members().map(([name, hex]) => (name === 'evidence' || name === 'opened' ? attached(object[name] as Hex) : hex)))
  }
  if (type.endsWith('[]')) {
    const items = value as readonly Value[]
    return concatHex([varint(items.length), ...items.map((item) => rowOf(type.slice(0, -2), item))])
  }
  if (type in MEMBERS) return concatHex(members().map(([, hex]) => hex))
  if (type === 'uint96') return amount(value as bigint)
  if (type.startsWith('uint') && type !== 'uint8' && type !== 'uint256') return varint(value as number | bigint)
  if (type === 'string' || type === 'bytes') {
    const bytes = type === 'string' ? stringToHex(value as string) : (value as Hex)
    return concatHex([varint(size(bytes)), bytes])
  }
  return packOf(type, value)
}

function creditRow(fields: { readonly [name: string]: Value }): Hex {
  const heads = ['worker', 'modelId', 'firstSeq', 'count', 'receiptsRoot', 'attributionRoot', 'promptTokens', 'outputTokens']
  const parts = membersOf('AttributionCredit').flatMap(({ type, name }) => (heads.includes(name) ? [rowOf(type, fields[name] ?? '')] : []))
  const draws = (fields.draws as readonly { readonly [name: string]: Value }[]).map((draw) => {
    const request = draw.request as { readonly [name: string]: Value }
    const signature = draw.signature as Hex
    const v = Number(`0x${signature.slice(-2)}`)
    const isOther = request.modelId !== fields.modelId
    const s = BigInt(`0x${signature.slice(66, 130)}`) | (BigInt(v === 1 || v === 28 ? 1 : 0) << 255n)
    const rest = membersOf('InferenceRequest').flatMap(({ type, name }) => {
      return name === 'worker' || (name === 'modelId' && !isOther) ? [] : [rowOf(type, request[name] ?? '')]
    })
    const signed = concatHex([signature.slice(0, 66) as Hex, numberToHex(s, { size: 32 })])
    return concatHex([numberToHex((isOther ? 1 : 0) + (v < 27 ? 2 : 0), { size: 1 }), ...rest, signed, amount(draw.amount as bigint)])
  })
  const [accounts, amounts] = [fields.accounts as readonly number[], fields.amountsGwei as readonly number[]]
  const steps = accounts.slice(1).map((account, i) => account - (accounts[i] ?? 0) - 1)
  const less = amounts.map((one) => one - 1)
  const width = (list: readonly number[]) => (Math.max(0, ...list) === 0 ? 0 : Math.max(...list).toString(2).length)
  const bitsOf = (list: readonly number[]) =>
    list.map((one) => (width(list) === 0 ? '' : one.toString(2).padStart(width(list), '0'))).join('')
  const bits = bitsOf(steps) + bitsOf(less)
  const bytes = (bits.match(/.{1,8}/g) ?? []).map((byte) => numberToHex(Number.parseInt(byte.padEnd(8, '0'), 2), { size: 1 }))
  const widths = [width(steps), width(less)].map((one) => numberToHex(one, { size: 1 }))
  const entries = accounts.length === 0 ? [] : [varint(accounts[0] ?? 0), ...widths, ...bytes]
  return concatHex([...parts, varint(draws.length), ...draws, varint(accounts.length), ...entries])
}

/** 1,500 a contributor or datanet; a credit 8,000, 6,000 a draw, 400 an entry; 800 an epoch; a dispute 400,000, 4,000 a draw, 8 a byte of evidence. */
function itemGasOf(fields: { readonly [name: string]: Value }): number {
  const count = (name: string) => (Array.isArray(fields[name]) ? fields[name].length : 0)
  const bytes = (name: string) => (typeof fields[name] === 'string' ? size(fields[name] as Hex) : 0)
  const dispute = 'evidence' in fields ? 400_000 + 4_000 * count('drawn') + 8 * (bytes('evidence') + bytes('opened')) : 0
  const credit = 'draws' in fields ? 8_000 : 0
  return (
    credit +
    dispute +
    1_500 * (count('contributors') + count('datanets')) +
    6_000 * count('draws') +
    400 * count('accounts') +
    800 * count('epochs')
  )
}

function callDataOf(type: string, fields: { readonly [name: string]: Value }): Hex {
  const { functionName } = doorOf(type)
  const structs = Object.entries(MEMBERS).filter(([name]) => !(name in DOORS))
  const definitions = structs.map(([name, members]) => `struct ${name} { ${members.replaceAll(',', '; ')}; }`)
  const abi = parseAbi([`function ${functionName}(${MEMBERS[type]?.replaceAll(',', ', ')})`, ...definitions] as string[]) as Abi
  return encodeFunctionData({ abi, functionName, args: membersOf(type).map(({ name }) => fields[name]) })
}
