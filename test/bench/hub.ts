/** The contract twin of uploads, models and credits: compiled from test/bench/contracts/Hub.sol, and its calls. */
import secp256k1 from 'secp256k1'
import {
  bytesToHex,
  concatBytes,
  encodeAbiParameters,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  pad,
  parseAbi,
  parseAbiParameters,
  stringToHex,
} from 'viem'
import { compileContracts } from '../../contracts/compile.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { ENTRY_WEI } from '../../genesis/params.ts'
import {
  chooseDatanets,
  chooseEntries,
  entriesOf,
  modelFields,
  type Signer,
  seeded,
  signCall,
  type Turn,
  uploadFields,
  word,
} from './operations.ts'

/** Operations that the contract knows. */
export const HUB_KINDS = ['upload', 'model', 'receipt', 'credit1', 'credit10', 'credit100'] as const
export type HubKind = (typeof HUB_KINDS)[number]

/** Where the contract is, and what its calls refer to. */
export type HubStage = {
  readonly chainId: number
  readonly hub: Hex
  /** The model that credits name. */
  readonly modelId: Hex
  readonly clients: readonly Signer[]
  /** Accounts that credits pay. */
  readonly earners: readonly Hex[]
}

/** Gas limits that are enough, and not by much. */
export const HUB_GAS: Readonly<Record<HubKind, bigint>> = {
  upload: 350_000n,
  model: 1_200_000n,
  receipt: 350_000n,
  credit1: 400_000n,
  credit10: 700_000n,
  credit100: 3_600_000n,
}

const DATANET_IDS = Array.from({ length: 64 }, (_, i) => 1 + i)
const CUMULATIVE_MAX_WEI = 2n ** 95n
const SNAPSHOT = '(uint32 datanetId, uint32 uploadCount, uint32 recordCount, uint16 weightBps, bytes32 snapshotRoot)'
const MANIFEST =
  '(bytes32 name, bytes32 baseHash, bytes32 adapterHash, bytes32 tokenizerHash, bytes32 trainingConfigHash, bytes32 runtimeProfileHash, uint96 pricePrompt, uint96 priceOutput, uint32 useFlags, uint16 ownerBps, uint16 workerBps, uint16 contributorBps)'
const HUB_ABI = parseAbi([
  'function prepare(uint32 count, address[] active)',
  'function prepay(address[] clients) payable',
  'function upload(uint32 datanetId, bytes32 contentRoot, bytes contentId, uint32 recordCount, uint64 byteCount, (address account, uint16 shareBps, uint8 role)[] contributors)',
  `function register(${MANIFEST} manifest, ${SNAPSHOT}[] snapshots)`,
  'function credit((address client, uint96 cumulativeMax, bytes32 r, bytes32 s, uint8 v) voucher, (bytes32 modelId, uint64 seq, uint32 count, uint64 promptTokens, uint96 fee, bytes32 receiptsRoot, bytes32 attributionRoot) window, address[] to, uint96[] amounts)',
])
const MODEL_PARAMETERS = parseAbiParameters(`${MANIFEST} manifest, ${SNAPSHOT}[] snapshots, address owner`)

/** The contract's creation code, compiled now. */
export function hubCode(): Hex {
  const { Hub } = compileContracts([{ file: '../test/bench/contracts/Hub.sol', name: 'Hub' }])
  if (!Hub) throw new Error('Hub.sol has no Hub')
  return Hub.bytecode as Hex
}

/**
 * Calls that set the contract's stage, all from `owner`: the datanets and workers, the model that credits name, and money for the clients, each
 * of whom gets a part of the value.
 */
export function hubSetup(
  owner: Hex,
  { workers, clients }: { readonly workers: readonly Signer[]; readonly clients: readonly Signer[] },
): { readonly modelId: Hex; readonly calls: readonly { readonly data: Hex; readonly gas: bigint; readonly isPaid: boolean }[] } {
  const [manifest, snapshots] = modelArgs(modelFields({ name: 'bench-model', datanetIds: DATANET_IDS.slice(0, 2) }))
  const modelId = bytesToHex(keccak256(hexToBytes(encodeAbiParameters(MODEL_PARAMETERS, [manifest, snapshots, owner]))))
  const addressesOf = (of: readonly Signer[]) => of.map(({ address }) => address)
  const prepare = encodeFunctionData({ abi: HUB_ABI, functionName: 'prepare', args: [DATANET_IDS.length, addressesOf(workers)] })
  const register = encodeFunctionData({ abi: HUB_ABI, functionName: 'register', args: [manifest, snapshots] })
  const prepay = encodeFunctionData({ abi: HUB_ABI, functionName: 'prepay', args: [addressesOf(clients)] })
  return {
    modelId,
    calls: [
      { data: prepare, gas: 12_000_000n, isPaid: false },
      { data: register, gas: HUB_GAS.model, isPaid: false },
      { data: prepay, gas: 12_000_000n, isPaid: true },
    ],
  }
}

/** The signed call that does what the native operation of the same kind and turn does. */
export function hubOperation(kind: HubKind, stage: HubStage, turn: Turn): Uint8Array {
  const data = kind === 'upload' ? uploadData(turn) : kind === 'model' ? modelData(turn) : creditData(kind, stage, turn)
  return signCall(turn, stage.chainId, { to: stage.hub, data, gas: HUB_GAS[kind] })
}

function uploadData(turn: Turn): Hex {
  const { datanetId, contentRoot, contentId, recordCount, byteCount, contributors } = uploadFields({ datanetIds: DATANET_IDS }, turn)
  const args = [datanetId, contentRoot, contentId, recordCount, byteCount, contributors] as const
  return encodeFunctionData({ abi: HUB_ABI, functionName: 'upload', args })
}

function modelData({ number }: Turn): Hex {
  const fields = modelFields({ name: `bench-model-${number}`, datanetIds: chooseDatanets(DATANET_IDS, number) })
  return encodeFunctionData({ abi: HUB_ABI, functionName: 'register', args: modelArgs(fields) })
}

function modelArgs({ name, datanets, ...rest }: ReturnType<typeof modelFields>) {
  return [{ ...rest, name: stringToHex(name, { size: 32 }) }, datanets] as const
}

function creditData(kind: HubKind, stage: HubStage, { number, nonce, sender }: Turn): Hex {
  const places = stage.earners.map((_, i) => i)
  const { accounts, amountsGwei } = chooseEntries(places, entriesOf(kind), number)
  const to = accounts.map((place) => stage.earners[place] ?? '0x')
  const client = stage.clients[number % stage.clients.length]
  if (!client) throw new Error('the stage has no clients')
  const amounts = amountsGwei.map((amountGwei) => BigInt(amountGwei) * ENTRY_WEI)
  const voucher = voucherOf(stage, client, sender.address)
  const seed = seeded(`credit ${number}`)
  const promptTokens = BigInt(Math.ceil(amountsGwei.reduce((sum, amountGwei) => sum + amountGwei, 0) * 1.3) + 50)
  const roots = { receiptsRoot: bytesToHex(seed), attributionRoot: bytesToHex(keccak256(seed)) }
  const window = { modelId: stage.modelId, seq: nonce + 1n, count: 1, promptTokens, fee: promptTokens * ENTRY_WEI, ...roots }
  return encodeFunctionData({ abi: HUB_ABI, functionName: 'credit', args: [voucher, window, to, amounts] })
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
