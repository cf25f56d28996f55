/**
 * Answers about the state of a committed block: accounts, proofs, calls, gas. Everything is read through the block's own roots, so that blocks that
 * follow meanwhile do not show through. Calls run one at a time on a state that is thrown away afterwards.
 */
import { createMerkleProof, MerklePatriciaTrie } from '@ethereumjs/mpt'
import { Account, createAccountFromRLP, type DB, ValueEncoding } from '@ethereumjs/util'
import { bytesToHex, type Hex, hexToBytes, pad } from 'viem'
import { assert } from '../execution/assert.ts'
import type { Header } from '../execution/block.ts'
import { VOID_ROOTS } from '../execution/genesisBlock.ts'
import { keccak256 } from '../execution/keccak.ts'
import { proveRecord } from '../execution/ledger/rootReader.ts'
import { createState, readerAtRoots, type State, type StateReader } from '../execution/state.ts'
import { createVm, type EvmCallOutcome, intrinsicGas, type Vm } from '../execution/vm.ts'
import type { ChainParams } from '../genesis/params.ts'
import { createPrecompiles } from '../precompiles/precompiles.ts'
import { type CallRequest, type CallResult, type StateAt, type StateOverrides, StateUnavailable } from '../rpc/chain.ts'
import { createQueue } from './chainState.ts'
import { OPENSSL_CURVES } from './opensslCurves.ts'
import type { Store } from './store.ts'

/** Gas of a call that names none. */
const CALL_GAS_DEFAULT = 50_000_000n
/** An estimate is at most this much above the smallest gas that works: 1/64. */
const ESTIMATE_SLACK = 64n
const ZERO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

export type Simulator = { at(number: bigint): StateAt }

/** A simulator over the committed blocks of a store. */
export async function createSimulator({ store, params }: { readonly store: Store; readonly params: ChainParams }): Promise<Simulator> {
  const alone = createQueue()
  let current: StateReader = store.reader
  const switching: StateReader = {
    account: (address) => current.account(address),
    slot: (address, hashedSlot) => current.slot(address, hashedSlot),
    code: (hash) => current.code(hash),
    trieNode: (hash) => current.trieNode(hash),
    ledgerRecord: (table, id) => current.ledgerRecord(table, id),
    ledgerEntry: (key) => current.ledgerEntry(key),
  }
  const state = createState(switching, store.roots(0n))
  const vm = await createVm({
    state,
    params,
    precompiles: createPrecompiles(OPENSSL_CURVES),
    blockHash: (number) => store.block(number)?.hash,
  })

  /** Runs work on the state of a block, then forgets what it did. */
  function onState<T>(number: bigint, work: (header: Header) => Promise<T>): Promise<T> {
    return alone(async () => {
      const stored = store.block(number)
      if (!stored) throw new StateUnavailable(`no state of block ${number}`)
      const roots = store.roots(number)
      current = readerAtRoots(store.reader, roots)
      state.reset(roots)
      return work(stored.block.header)
    })
  }

  return {
    at(number) {
      const readerOf = () => {
        const roots = store.roots(number)
        if (roots === VOID_ROOTS) throw new StateUnavailable(`no state of block ${number}`)
        return readerAtRoots(store.reader, roots)
      }
      const accountOf = (reader: StateReader, address: Hex) => {
        const bytes = reader.account(hexToBytes(address))
        return bytes ? createAccountFromRLP(bytes) : new Account()
      }
      return {
        account: async (address) => {
          const { balance, nonce, codeHash, storageRoot } = accountOf(readerOf(), address)
          return { balance, nonce, codeHash: bytesToHex(codeHash), storageRoot: bytesToHex(storageRoot) }
        },
        code: async (address) => {
          const { codeHash } = accountOf(readerOf(), address)
          const code = store.reader.code(codeHash)
          return code ? bytesToHex(code) : '0x'
        },
        storage: async (address, slot) =>
          pad(bytesToHex(readerOf().slot(hexToBytes(address), keccak256(hexToBytes(slot))) ?? new Uint8Array()), { size: 32 }),
        proof: (address, slots) => prove(store, number, address, slots),
        call: (request, overrides) =>
          onState(number, async (header) => {
            override(state, overrides)
            return call({ state, vm, header }, request, capGas(request.gas, header))
          }),
        estimateGas: (request, overrides) => onState(number, (header) => estimate({ state, vm, header }, request, overrides)),
        ledgerRecord: (table, id) => readerOf().ledgerRecord(table, id),
        ledgerProof: (table, id) => proveRecord(hexToBytes(store.roots(number).ledgerRoot), store.reader, { table, id }),
        ledgerRoot: () => store.roots(number).ledgerRoot,
      }
    },
  }
}

type Bench = { readonly state: State; readonly vm: Vm; readonly header: Header }

async function call({ state, vm, header }: Bench, request: CallRequest, gas: bigint, withReserve = false): Promise<CallResult> {
  const from = request.from ?? ZERO_ADDRESS
  const data = hexToBytes(request.data ?? '0x')
  const intrinsic = intrinsicGas(data, request.to === undefined)
  const needed = leastGas(request)
  if (gas < needed) return { ok: false, code: 'gasTooLow', reason: `intrinsic gas too low: have ${gas}, want ${needed}` }
  const value = request.value ?? 0n
  const price = request.maxFeePerGas ?? request.gasPrice ?? 0n
  if (price > 0n && price < header.baseFeePerGas)
    return { ok: false, code: 'feeTooLow', reason: `max fee per gas ${price} below base fee ${header.baseFeePerGas}` }
  const { balance } = state.account(from)
  if (balance < value + (request.gas === undefined ? 0n : gas * price)) {
    return { ok: false, code: 'insufficientFunds', reason: `insufficient funds for gas * price + value: have ${balance}` }
  }
  state.checkpoint()
  const simulated = { from, to: request.to, valueWei: value, data, gas: gas - intrinsic, gasPriceWei: price, withReserve }
  const env = { ...header, gasLimit: header.gasLimit }
  const outcome: EvmCallOutcome = await vm.simulate(simulated, env).finally(() => state.revert())
  const gasUsed = larger(outcome.gasUsed + intrinsic, floorGas(data))
  if (outcome.exception === undefined) return { ok: true, output: outcome.output, gasUsed, logs: outcome.logs }
  const code = outcome.exception === 'revert' ? 'reverted' : 'halted'
  return { ok: false, code, output: outcome.output, reason: outcome.exception, gasUsed }
}

/**
 * Binary search for the gas limit with which the call will succeed, at the prices of L1's bytes of some blocks later too: a call may need more than it
 * uses, because frames keep a 64th back (EIP-150).
 */
async function estimate(
  bench: Bench,
  request: CallRequest,
  overrides: StateOverrides | undefined,
): Promise<{ ok: true; gas: bigint } | Exclude<CallResult, { ok: true }>> {
  override(bench.state, overrides)
  const asked = capGas(request.gas, bench.header)
  const cap = affordable(bench, request, asked)
  if (cap < asked && cap < leastGas(request))
    return { ok: false, code: 'insufficientFunds', reason: `insufficient funds for gas * price + value: enough for ${cap} gas` }
  const free = { ...request, gas: undefined }
  const succeeds = async (gas: bigint) => (await call(bench, free, gas, true)).ok
  const first = await call(bench, free, cap, true)
  if (!first.ok) return first
  let low = first.gasUsed - 1n // does not suffice
  let high = cap
  for (const guess of [first.gasUsed, first.gasUsed + first.gasUsed / 63n + 2_400n]) {
    if (guess >= high) continue
    if (await succeeds(guess)) {
      high = guess
      break
    }
    low = guess
  }
  while (high - low > 1n + high / ESTIMATE_SLACK) {
    const middle = (low + high) / 2n
    if (await succeeds(middle)) high = middle
    else low = middle
  }
  return { ok: true, gas: high }
}

/** The most gas that the sender can pay for at the price that it names. */
function affordable({ state }: Bench, request: CallRequest, cap: bigint): bigint {
  const price = request.maxFeePerGas ?? request.gasPrice ?? 0n
  if (price === 0n) return cap
  const left = state.account(request.from ?? ZERO_ADDRESS).balance - (request.value ?? 0n)
  const most = left > 0n ? left / price : 0n
  return most < cap ? most : cap
}

function capGas(asked: bigint | undefined, header: Header): bigint {
  const cap = header.gasLimit < CALL_GAS_DEFAULT ? header.gasLimit : CALL_GAS_DEFAULT
  return asked === undefined || asked > cap ? cap : asked
}

/** Gas below which a transaction that makes this call enters no block. */
function leastGas({ data = '0x', to }: CallRequest): bigint {
  const bytes = hexToBytes(data)
  return larger(intrinsicGas(bytes, to === undefined), floorGas(bytes))
}

/** Least gas of a transaction with this data. Source: EIP-7623, 10 a token, a nonzero byte being 4 tokens. */
function floorGas(data: Uint8Array): bigint {
  let tokens = 0n
  for (const byte of data) tokens += byte === 0 ? 1n : 4n
  return 21_000n + 10n * tokens
}

function override(state: State, overrides: StateOverrides | undefined): void {
  for (const [key, change] of Object.entries(overrides ?? {})) {
    const address = key.toLowerCase() as Hex
    const account = state.account(address)
    if (change.balance !== undefined) account.balance = change.balance
    if (change.nonce !== undefined) account.nonce = change.nonce
    // A whole new storage starts from the empty one.
    const fresh = change.state ? new Account(account.nonce, account.balance, undefined, account.codeHash) : account
    state.putAccount(address, fresh)
    if (change.code !== undefined) state.putCode(address, hexToBytes(change.code))
    for (const [slot, value] of Object.entries({ ...change.state, ...change.stateDiff }))
      state.putSlot(address, slot as Hex, hexToBytes(value))
  }
}

async function prove(store: Store, number: bigint, address: Hex, slots: readonly Hex[]): ReturnType<StateAt['proof']> {
  const stored = store.block(number)
  if (!stored) throw new StateUnavailable(`no state of block ${number}`)
  const openTrie = (root: Uint8Array) =>
    new MerklePatriciaTrie({ db: trieDb(store), root, useKeyHashing: true, valueEncoding: ValueEncoding.Bytes })
  const trie = openTrie(hexToBytes(stored.block.header.stateRoot))
  const accountProof = (await createMerkleProof(trie, hexToBytes(address))).map((node) => bytesToHex(node))
  const bytes = await trie.get(hexToBytes(address))
  const storage = openTrie(bytes ? createAccountFromRLP(bytes).storageRoot : new Account().storageRoot)
  const reader = readerAtRoots(store.reader, store.roots(number))
  const storageProof = []
  for (const key of slots) {
    const slot = hexToBytes(pad(key, { size: 32 }))
    const value = reader.slot(hexToBytes(address), keccak256(slot)) ?? new Uint8Array()
    const proof = bytes ? (await createMerkleProof(storage, slot)).map((node) => bytesToHex(node)) : []
    storageProof.push({ key, value: bytesToHex(value), proof })
  }
  return { accountProof, storageProof }
}

/** Our trie nodes as the library's database: it asks by unprefixed hex of the hash. */
function trieDb(store: Store): DB<string, Uint8Array> {
  const readOnly = async () => assert(false, 'proofs do not write')
  return {
    get: async (key) => store.reader.trieNode(hexToBytes(`0x${key}`)),
    put: readOnly,
    del: readOnly,
    batch: readOnly,
    shallowCopy: () => trieDb(store),
    open: async () => {},
  }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
