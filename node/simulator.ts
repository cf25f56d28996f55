/**
 * Answers about the state of a committed block: accounts, proofs, calls, gas. Everything is read through the block's own roots, so that blocks that
 * follow meanwhile do not show through. Calls run one at a time on a state that is thrown away afterwards.
 */
import { createMerkleProof, MerklePatriciaTrie } from '@ethereumjs/mpt'
import { Account, createAccountFromRLP, type DB, ValueEncoding } from '@ethereumjs/util'
import { bytesToHex, type Hex, hexToBytes, pad } from 'viem'
import { judgeEvidence } from '../consensus/evidence.ts'
import { startBlock } from '../execution/applyBlock.ts'
import { assert } from '../execution/assert.ts'
import type { Header } from '../execution/block.ts'
import { VOID_ROOTS } from '../execution/genesisBlock.ts'
import { keccak256 } from '../execution/keccak.ts'
import { paramsAt } from '../execution/ledger/governed.ts'
import { proveRecord } from '../execution/ledger/rootReader.ts'
import { createState, readerAtRoots, type State, type StateReader } from '../execution/state.ts'
import type { Tx } from '../execution/tx.ts'
import { createVm } from '../execution/vm.ts'
import type { ChainParams } from '../genesis/params.ts'
import { createPrecompiles } from '../precompiles/precompiles.ts'
import { type CallOptions, type StateAt, type StateOverrides, StateUnavailable, type Tracer } from '../rpc/chain.ts'
import { OPENSSL_CURVES } from './opensslCurves.ts'
import { simulateBlocks } from './simulatedBlocks.ts'
import { call, capGas, estimate, listAccesses } from './simulatedCall.ts'
import type { Store } from './store.ts'
import { traceTx } from './tracing.ts'
import { createTurns } from './turns.ts'

export type Simulator = {
  at(number: bigint): StateAt
  /** Executes a block's first transactions again, those with a tracer under it. Throws what tracers throw. */
  trace(header: Header, transactions: readonly Tx[], tracerOf: (index: number) => Tracer | undefined): Promise<void>
}

/** What is asked of a store. */
export type SimulatedStore = Pick<Store, 'reader' | 'roots' | 'block'>

export type SimulatorOptions = {
  readonly store: SimulatedStore
  readonly params: ChainParams
  /** Milliseconds of the thread that one question may use. */
  readonly workMs?: number
}

/** What one question may use of the thread, in milliseconds, and how many may wait for it. */
const [WORK_MS, WAITING_MAX] = [5_000, 1_024]

/** A simulator over the committed blocks of a store. */
export async function createSimulator({ store, params, workMs = WORK_MS }: SimulatorOptions): Promise<Simulator> {
  const turns = createTurns({ workMs, waitingMax: WAITING_MAX })
  let current: StateReader = store.reader
  const switching: StateReader = {
    account: (address) => current.account(address),
    slot: (address, hashedSlot) => current.slot(address, hashedSlot),
    code: (hash) => current.code(hash),
    trieNode: (hash) => current.trieNode(hash),
    ledgerRecord: (table, id) => current.ledgerRecord(table, id),
    ledgerEntry: (key) => current.ledgerEntry(key),
  }
  /** Of blocks that are being simulated. */
  const simulatedHashes = new Map<bigint, Hex>()
  const state = createState(switching, store.roots(0n))
  const vm = await createVm({
    state,
    params,
    precompiles: createPrecompiles(OPENSSL_CURVES),
    pause: turns.pause,
    blockHash: (number) => simulatedHashes.get(number) ?? store.block(number)?.hash,
  })

  /** Runs work on the state of a block, then forgets what it did. */
  function onState<T>(number: bigint, work: (header: Header) => Promise<T>): Promise<T> {
    return turns.run(async () => {
      const stored = store.block(number)
      if (!stored) throw new StateUnavailable(`no state of block ${number}`)
      const roots = store.roots(number)
      current = readerAtRoots(store.reader, roots)
      state.reset(roots)
      simulatedHashes.clear()
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
        call: (request, options = {}) =>
          onState(number, async (committed) => {
            const header = withOverrides(committed, options.block)
            override(state, options.state)
            return call({ state, vm, header }, request, { gas: capGas(request.gas, header), tracer: options.tracer })
          }),
        simulate: (request) =>
          onState(number, (header) =>
            simulateBlocks(
              {
                state,
                vm,
                params: paramsAt(params, state.ledger, number + 1n),
                onHash: (simulated, hash) => simulatedHashes.set(simulated, hash),
                override: (changes) => override(state, changes),
              },
              header,
              request,
            ),
          ),
        accessList: (request, overrides) =>
          onState(number, (committed) => {
            override(state, overrides)
            return listAccesses({ state, vm, header: following(committed) }, request)
          }),
        estimateGas: (request, overrides) =>
          onState(number, (committed) => {
            override(state, overrides)
            return estimate({ state, vm, header: following(committed) }, request)
          }),
        ledgerRecord: (table, id) => readerOf().ledgerRecord(table, id),
        ledgerProof: (table, id) => proveRecord(hexToBytes(store.roots(number).ledgerRoot), store.reader, { table, id }),
        ledgerRoot: () => store.roots(number).ledgerRoot,
      }
    },
    trace: (header, transactions, tracerOf) =>
      onState(header.number - 1n, async () => {
        const run = startBlock({ state, vm, params, judgeEvidence }, header)
        let logsBefore = 0
        for (const [index, tx] of transactions.entries()) {
          const tracer = tracerOf(index)
          const apply = () => run.apply(tx)
          const applied = tracer ? await traceTx({ state, vm, header }, { tx, tracer, logsBefore, apply }) : await apply()
          assert(applied.ok, 'a transaction of a block is refused in its place')
          logsBefore += applied.logs.length
          await turns.pause()
        }
      }),
  }
}

/**
 * Where a transaction that is prepared now will be: contracts do more where time has passed since they were last called, and a block's own transactions are
 * what is called most soon before.
 */
function following(header: Header): Header {
  return { ...header, number: header.number + 1n, timestamp: header.timestamp + 1n }
}

function withOverrides(header: Header, changes: CallOptions['block'] = {}): Header {
  const { number, time, gasLimit, feeRecipient, prevRandao, baseFeePerGas } = changes
  return {
    ...header,
    number: number ?? header.number,
    timestamp: time ?? header.timestamp,
    gasLimit: gasLimit ?? header.gasLimit,
    miner: feeRecipient ?? header.miner,
    mixHash: prevRandao ?? header.mixHash,
    baseFeePerGas: baseFeePerGas ?? header.baseFeePerGas,
  }
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

async function prove(store: SimulatedStore, number: bigint, address: Hex, slots: readonly Hex[]): ReturnType<StateAt['proof']> {
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
    storageProof.push({ key, value: pad(bytesToHex(value), { size: 32 }), proof })
  }
  return { accountProof, storageProof }
}

/** Our trie nodes as the library's database: it asks by unprefixed hex of the hash. */
function trieDb(store: SimulatedStore): DB<string, Uint8Array> {
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
