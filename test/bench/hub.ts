/** The contract twin of uploads and credits: compiled from test/bench/contracts/Hub.sol, and its calls. */
import secp256k1 from 'secp256k1'
import { type Abi, bytesToHex, concatBytes, encodeFunctionData, type Hex, hexToBytes, pad, parseAbi } from 'viem'
import { compileContracts } from '../../contracts/compile.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { ENTRY_WEI } from '../../genesis/params.ts'
import { chooseEntries, entriesOf, type Signer, seeded, signCall, type Turn, uploadFields, word } from './operations.ts'

/** Operations that the contract knows. */
export const HUB_KINDS = ['upload', 'credit1', 'credit10', 'credit100'] as const
export type HubKind = (typeof HUB_KINDS)[number]

/** Where the contract is, and what its calls refer to. */
export type HubStage = {
  readonly chainId: number
  readonly hub: Hex
  readonly clients: readonly Signer[]
  /** Accounts that credits pay. */
  readonly earners: readonly Hex[]
}

/** Gas limits that are enough, and not by much. */
export const HUB_GAS: Readonly<Record<HubKind, bigint>> = { upload: 300_000n, credit1: 220_000n, credit10: 480_000n, credit100: 3_200_000n }

const CUMULATIVE_MAX_WEI = 2n ** 95n
const HUB_ABI = parseAbi([
  'function upload(uint32 datanetId, bytes32 contentRoot, bytes contentId, uint32 recordCount, uint64 byteCount)',
  'function prepay(address[] clients) payable',
  'function credit((address client, uint96 cumulativeMax, bytes32 r, bytes32 s, uint8 v) voucher, uint64 seq, bytes32 receiptsRoot, address[] to, uint96[] amounts)',
])

/** The contract's creation code, compiled now. */
export function hubCode(): Hex {
  const { Hub } = compileContracts([{ file: '../test/bench/contracts/Hub.sol', name: 'Hub' }])
  if (!Hub) throw new Error('Hub.sol has no Hub')
  return Hub.bytecode as Hex
}

/** Call data that gives each of the clients its part of the value that is sent with it. */
export function prepayData(clients: readonly Signer[]): Hex {
  return encodeFunctionData({ abi: HUB_ABI as Abi, functionName: 'prepay', args: [clients.map(({ address }) => address)] })
}

/** The signed call that does what the native operation of the same kind and turn does. */
export function hubOperation(kind: HubKind, stage: HubStage, turn: Turn): Uint8Array {
  const data = kind === 'upload' ? uploadData(turn) : creditData(kind, stage, turn)
  return signCall(turn, stage.chainId, { to: stage.hub, data, gas: HUB_GAS[kind] })
}

function uploadData(turn: Turn): Hex {
  const datanetIds = Array.from({ length: 64 }, (_, i) => 1 + i)
  const { datanetId, contentRoot, contentId, recordCount, byteCount } = uploadFields({ datanetIds }, turn)
  return encodeFunctionData({ abi: HUB_ABI, functionName: 'upload', args: [datanetId, contentRoot, contentId, recordCount, byteCount] })
}

function creditData(kind: HubKind, stage: HubStage, { number, nonce, sender }: Turn): Hex {
  const places = stage.earners.map((_, i) => i)
  const { accounts, amountsGwei } = chooseEntries(places, entriesOf(kind), number)
  const to = accounts.map((place) => stage.earners[place] ?? '0x')
  const client = stage.clients[number % stage.clients.length]
  if (!client) throw new Error('the stage has no clients')
  const amounts = amountsGwei.map((amountGwei) => BigInt(amountGwei) * ENTRY_WEI)
  const voucher = voucherOf(stage, client, sender.address)
  const args = [voucher, nonce + 1n, bytesToHex(seeded(`credit ${number}`)), to, amounts] as const
  return encodeFunctionData({ abi: HUB_ABI, functionName: 'credit', args })
}

function voucherOf({ chainId, hub }: HubStage, client: Signer, worker: Hex) {
  const digest = keccak256(concatBytes([word(BigInt(chainId)), hexToBytes(pad(hub)), hexToBytes(pad(worker)), word(CUMULATIVE_MAX_WEI)]))
  const { signature, recid } = secp256k1.ecdsaSign(digest, client.secret)
  return {
    client: client.address,
    cumulativeMax: CUMULATIVE_MAX_WEI,
    r: bytesToHex(signature.subarray(0, 32)),
    s: bytesToHex(signature.subarray(32)),
    v: 27 + recid,
  }
}
