/**
 * The rpc room's Chain port in memory: real blocks, receipts and records from execution (test/fakes/testChain.ts), with calls and the pool
 * scripted. Three blocks hold every kind of transaction: deposits, Ethereum's five types, native ones that succeed and fail.
 */

import { createAccountFromRLP } from '@ethereumjs/util'
import { bytesToHex, encodeErrorResult, type Hex, hexToBytes, keccak256, pad, parseAbi, type TransactionSerializable, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { encodeBlock, hashHeader } from '../../execution/block.ts'
import type { OriginStep } from '../../execution/buildBlock.ts'
import { toMember, VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { proveRecord } from '../../execution/ledger/rootReader.ts'
import { accounts } from '../../execution/ledger/tables.ts'
import { datanetCreate } from '../../execution/native/datanetCreate.ts'
import { invalid, type Rejection } from '../../execution/native/nativeType.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { readerAtRoots, type StateRoots } from '../../execution/state.ts'
import { decodeTx, type Tx } from '../../execution/tx.ts'
import { DOOR, OPEN_WEI } from '../../genesis/params.ts'
import { createAddressIndex } from '../../node/addressIndex.ts'
import { createSimulator, type SimulatedStore, type Simulator } from '../../node/simulator.ts'
import { touchesOf } from '../../node/touches.ts'
import {
  type BlockLogs,
  type CallRequest,
  type CallResult,
  type Chain,
  type ChainBlock,
  type StateAt,
  type StateOverrides,
  StateUnavailable,
} from '../../rpc/chain.ts'
import { segmentsInMemory } from './memorySegments.ts'
import { addressOf, createTestChain, signNative, type TestChain, testAccounts } from './testChain.ts'

/** What the scripted calls do, by the address that is called. */
export const CALLEE = {
  /** Answers its call data. */
  echo: '0x00000000000000000000000000000000000000e1',
  revertsWithReason: '0x00000000000000000000000000000000000000e2',
  revertsWithFailed: '0x00000000000000000000000000000000000000e3',
  revertsBare: '0x00000000000000000000000000000000000000e4',
  halts: '0x00000000000000000000000000000000000000e5',
  tooPoor: '0x00000000000000000000000000000000000000e6',
  breaks: '0x00000000000000000000000000000000000000e7',
  /** Answers only when the chain is told to go on. */
  waits: '0x00000000000000000000000000000000000000e8',
} as const satisfies Record<string, Hex>

/** Topic that the contract at `logger` writes whenever it is called. */
export const LOGGED_TOPIC: Hex = keccak256(toHex('Logged(uint256)'))

/** A block of the fake, with what later reads need. */
export type FakeChain = Chain & {
  readonly blocks: readonly ChainBlock[]
  /** A contract that writes one log a call. */
  readonly logger: Hex
  /** Puts these, and what waits in the pool, into a block. */
  seal(raws?: readonly (Uint8Array | Hex)[]): Promise<ChainBlock>
  /** The pool refuses the next transaction with this. */
  refuseNext(rejection: Rejection): void
  /** Blocks below this height have no state any more. */
  pruneBelow(height: bigint): void
  /** Somebody tells of a higher block. */
  announce(height: bigint | undefined): void
  /** Lets calls that wait go on. */
  goOn(): void
  /** The last call that was simulated, and its overrides. */
  readonly lastCall: { request: CallRequest | undefined; overrides: StateOverrides | undefined }
}

const GAS_PRICE = 2_000_000_000n
/** Whose code the EIP-7702 transaction sets. */
const AUTHORITY_KEY: Hex = `0x${'09'.repeat(32)}`

/** A chain of three blocks. The keys are test/fakes/testChain.ts's. */
export async function createFakeChain(options?: Parameters<typeof createTestChain>[0]): Promise<FakeChain> {
  const test = await createTestChain(options)
  const blocks: ChainBlock[] = []
  const roots: StateRoots[] = []
  const pool = new Map<Hex, Tx>()
  const listeners = new Set<Parameters<Chain['subscribe']>[0]>()
  // A segment ends with every few blocks: what is asked is on disk and in memory.
  const addresses = createAddressIndex(segmentsInMemory(), 20)
  const lastCall: FakeChain['lastCall'] = { request: undefined, overrides: undefined }
  const gate = Promise.withResolvers<void>()
  let refusal: Rejection | undefined
  let prunedBelow = 0n
  let highestBlock: bigint | undefined

  async function add(txs: readonly Tx[], origin?: OriginStep): Promise<ChainBlock> {
    const reports = txs.filter((tx) => tx.kind === 'report')
    const others = txs.filter((tx) => tx.kind !== 'report')
    const built = await test.next(others, { reports, ...(origin && { origin }) })
    const { block, hash, transactions, receipts, operations, roots: after, rejected } = built
    if (rejected.length > 0)
      throw new Error(`left out: ${rejected.map(({ rejection }) => `${rejection.code} ${rejection.reason ?? ''}`).join(', ')}`)
    const at = { block, hash, transactions, receipts, size: encodeBlock(block).length }
    blocks.push(at)
    roots.push(after)
    const decoded = { hash, block, transactions, receipts, operations }
    const trace: Parameters<typeof touchesOf>[1]['trace'] = async (_, tracerOf, last) => {
      await simulator.trace(block.header, transactions.slice(0, last + 1), tracerOf)
      return true
    }
    await addresses.add(block.header.number, await touchesOf(decoded, { reader: test.store.reader, trace }))
    for (const tx of transactions) pool.delete(tx.hash)
    for (const listener of listeners) listener.onBlock?.(at)
    return at
  }

  const genesis = test.head()
  blocks.push({
    block: { header: genesis, transactions: [] },
    hash: hashHeader(genesis),
    size: encodeBlock({ header: genesis, transactions: [] }).length,
    transactions: [],
    receipts: [],
  })
  roots.push({ evmRoot: genesis.stateRoot, ledgerRoot: bytesToHex(test.executor.state.slot(DOOR.ledger, pad('0x0', { size: 32 }))) })
  const simulator = await openSimulator(test, blocks, roots)
  const logger = await fill(test, add)

  function stateAt(number: bigint): StateAt {
    const at = roots[Number(number)]
    if (!at || number < prunedBelow) throw new StateUnavailable(`state of block ${number} is not kept`)
    const { accessList, simulate, call } = simulator.at(number)
    return { ...createStateAt(test, at, { lastCall, gate: gate.promise, call }), accessList, simulate }
  }

  const heads = () => ({ latest: BigInt(blocks.length - 1), safe: 2n, finalized: 1n })
  return {
    ...identityOf(test, blocks[0]?.hash ?? '0x'),
    blocks,
    logger,
    lastCall,
    heads,
    blockByNumber: (number) => blocks[Number(number)],
    blockByHash: (hash) => blocks.find((at) => at.hash === hash),
    numberOf: (hash) => blocks.find((at) => at.hash === hash)?.block.header.number,
    blockLogs: (number) => logsIn(blocks[Number(number)]),
    transaction: (hash) => placeOf(blocks, hash),
    transactionAt(number, index) {
      const hash = blocks[Number(number)]?.transactions[index]?.hash
      return hash && placeOf(blocks, hash)
    },
    addresses,
    stateAt,
    accountAt: (index) => accountAt(test, index),
    async trace(number, tracerOf, last) {
      const at = blocks[Number(number)]
      if (!at || number <= prunedBelow) throw new StateUnavailable(`state of block ${number - 1n} is not kept`)
      await simulator.trace(at.block.header, at.transactions.slice(0, (last ?? at.transactions.length) + 1), tracerOf)
    },
    async submit(raw) {
      const refused = refusal
      refusal = undefined
      if (refused) return refused
      const decoded = decodeTx(raw, test.executor.vm.common)
      if (!decoded.ok) return decoded
      const { tx } = decoded
      if (pool.has(tx.hash)) return invalid('alreadyKnown', { hash: tx.hash })
      pool.set(tx.hash, tx)
      for (const listener of listeners) listener.onPending?.(tx.hash)
      return { ok: true, hash: tx.hash }
    },
    pendingTransaction: (hash) => pool.get(hash),
    pendingNonce: (address) => nextNonce(pool, 'ethereum', address, evmNonce(test, address)),
    pendingLedgerNonce: (address) => nextNonce(pool, 'native', address, ledgerNonce(test, address)),
    poolContent: (sender) =>
      [...pool.values()].filter((tx) => sender === undefined || tx.sender === sender).map((tx) => ({ tx, runs: true })),
    poolStatus: () => ({ pending: pool.size, queued: 0 }),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    syncStatus: () => ({
      heads: heads(),
      highestBlock,
      l1Head: { number: 20n, hash: `0x${'d1'.repeat(32)}` },
      l1Origin: { number: 11n, hash: `0x${'b3'.repeat(32)}` },
      batches: { posted: 1, postedBytes: 1_000, nextBlock: 3n },
      checkpoints: 1,
      validators: 1,
    }),
    blocksMatching({ from, to }) {
      return blocks.map((at) => at.block.header.number).filter((number) => number >= from && number <= to)
    },
    seal: (raws = []) => add([...[...pool.values()], ...raws.map((raw) => test.decode(raw))]),
    refuseNext(rejection) {
      refusal = rejection
    },
    pruneBelow(height) {
      prunedBelow = height
    },
    goOn: () => gate.resolve(),
    announce(height) {
      highestBlock = height
    },
  }
}

function openSimulator(test: TestChain, blocks: readonly ChainBlock[], roots: readonly StateRoots[]): Promise<Simulator> {
  const store = {
    reader: test.store.reader,
    roots: (number: bigint) => roots[Number(number)] ?? VOID_ROOTS,
    block: (number: bigint) => blocks[Number(number)] as ReturnType<SimulatedStore['block']>,
  }
  return createSimulator({ store, params: test.genesis.params, workMs: 2_000 })
}

function placeOf(blocks: readonly ChainBlock[], hash: Hex): ReturnType<Chain['transaction']> {
  const at = blocks.find(({ transactions }) => transactions.some((tx) => tx.hash === hash))
  const index = at?.transactions.findIndex((tx) => tx.hash === hash) ?? 0
  const [tx, receipt] = [at?.transactions[index], at?.receipts[index]]
  if (!at || !tx || !receipt) return undefined
  const logsBefore = at.receipts.slice(0, index).reduce((sum, { logs }) => sum + logs.length, 0)
  return { blockHash: at.hash, header: at.block.header, index, tx, receipt, logsBefore }
}

function logsIn(at: ChainBlock | undefined): BlockLogs | undefined {
  return at && { hash: at.hash, header: at.block.header, receipts: at.receipts, hashOf: (index) => at.transactions[index]?.hash ?? '0x' }
}

/** An EIP-1559 transaction of a test account, signed. */
export async function signEthereum(chain: Pick<Chain, 'params'>, account: number, transaction: Record<string, unknown>): Promise<Hex> {
  const fees = { maxFeePerGas: GAS_PRICE, maxPriorityFeePerGas: 1_000_000n }
  const whole = { type: 'eip1559', chainId: chain.params.chainId, gas: 100_000n, ...fees, ...transaction }
  return signer(account).signTransaction(whole as TransactionSerializable)
}

/** A native transfer within the ledger, signed. */
export function signTransfer(chain: Pick<Chain, 'params'>, account: number, nonce: bigint, amount: bigint): Promise<Uint8Array> {
  const fields = { kind: TRANSFER_KIND.ledger, to: addressOf(signer(7)), amount }
  return signNative(signer(account), { type: transfer, fields, nonce, chainId: chain.params.chainId })
}

export function signer(account: number): (typeof testAccounts)[number] {
  const found = testAccounts[account]
  if (!found) throw new Error(`there is no test account ${account}`)
  return found
}

/** The blocks 1 to 3. Answers where the logging contract is. */
async function fill(test: TestChain, add: (txs: readonly Tx[], origin?: OriginStep) => Promise<ChainBlock>): Promise<Hex> {
  await add([], originStep())
  const created = await add(await Promise.all((await ethereumTransactions(test)).map((raw) => test.decode(raw))))
  await add((await nativeTransactions(test)).map((raw) => test.decode(raw)))
  const logger = created.receipts.find((receipt) => receipt.contractAddress)?.contractAddress
  if (!logger) throw new Error('no contract was made')
  return logger
}

function originStep(): OriginStep {
  const hash: Hex = `0x${'b3'.repeat(32)}`
  const shared = { isSystem: false, gas: 21_000n, data: '0x' } as const
  const from = addressOf(signer(7))
  return {
    info: {
      number: 11n,
      hash,
      timestampSec: 1_799_999_995n,
      baseFee: 7n,
      blobBaseFee: 1n,
      prevRandao: `0x${'b4'.repeat(32)}`,
      depositCursor: 2n,
    },
    deposits: [
      { ...shared, sourceHash: `0x${'e1'.repeat(32)}`, from, to: addressOf(signer(6)), mintWei: OPEN_WEI, valueWei: OPEN_WEI },
      { ...shared, sourceHash: `0x${'e2'.repeat(32)}`, from, to: DOOR.ledger, mintWei: 5n, valueWei: 0n },
    ],
  }
}

/** One of each type, from accounts 0 to 4; the EIP-1559 one makes the logging contract. */
async function ethereumTransactions(test: TestChain): Promise<Hex[]> {
  const { chainId } = test.genesis.params
  const to = addressOf(signer(5))
  const accessList = [{ address: to, storageKeys: [pad('0x1', { size: 32 })] }]
  const dynamic = { maxFeePerGas: GAS_PRICE, maxPriorityFeePerGas: 3_000_000n, chainId }
  const sponsor = signer(4)
  const authorization = await privateKeyToAccount(AUTHORITY_KEY).signAuthorization({ chainId, nonce: 0, address: CALLEE.echo })
  return Promise.all([
    signer(0).signTransaction({ type: 'legacy', chainId, nonce: 0, gas: 21_000n, gasPrice: GAS_PRICE, to, value: 1n }),
    signer(1).signTransaction({ type: 'legacy', nonce: 0, gas: 30_000n, gasPrice: GAS_PRICE, to, value: 2n, data: '0x00ff' }),
    signer(2).signTransaction({ type: 'eip2930', chainId, nonce: 0, gas: 40_000n, gasPrice: GAS_PRICE, to, value: 3n, accessList }),
    signer(3).signTransaction({ type: 'eip1559', ...dynamic, nonce: 0, gas: 200_000n, data: loggerInitCode(), accessList: [] }),
    sponsor.signTransaction({
      type: 'eip7702',
      ...dynamic,
      nonce: 0,
      gas: 100_000n,
      to,
      value: 5n,
      authorizationList: [authorization],
      accessList,
    }),
  ])
}

/** A datanet, and a transfer of more than there is. */
async function nativeTransactions(test: TestChain): Promise<Uint8Array[]> {
  const { chainId } = test.genesis.params
  const curator = addressOf(signer(1))
  const datanet = { name: 'poems', schemaHash: pad('0x5c', { size: 32 }), licence: 3, curator, joinPolicy: 0, uploadBond: 7n }
  const tooMuch = { kind: TRANSFER_KIND.ledger, to: curator, amount: 2n ** 90n }
  return Promise.all([
    signNative(signer(0), { type: datanetCreate, fields: datanet, nonce: 0n, chainId }),
    signNative(signer(1), { type: transfer, fields: tooMuch, nonce: 0n, chainId }),
  ])
}

/** Code that writes `Logged(42)` when called. */
function loggerInitCode(): Hex {
  const runtime = `602a6000527f${LOGGED_TOPIC.slice(2)}60206000a100`
  return `0x60${(runtime.length / 2).toString(16)}80600b6000396000f3${runtime}`
}

type Script = { readonly lastCall: FakeChain['lastCall']; readonly gate: Promise<void>; readonly call: StateAt['call'] }

function identityOf({ genesis }: TestChain, genesisHash: Hex) {
  const { origin: _, ...l1 } = genesis.l1
  return {
    params: genesis.params,
    genesisHash,
    l1,
    clientVersion: 'tributary/test',
    genesisSec: Math.floor(genesis.timestampMs / 1_000),
    genesisValidators: genesis.validators.map(toMember),
  }
}

function accountAt({ store }: TestChain, index: number): Hex | undefined {
  const found = [...store.records.values()].find(
    ({ table, record }) => table === accounts.number && accounts.decode(record).index === index,
  )
  return found && bytesToHex(found.id)
}

function createStateAt(test: TestChain, at: StateRoots, { lastCall, gate, call }: Script): Omit<StateAt, 'accessList' | 'simulate'> {
  const reader = readerAtRoots(test.store.reader, at)
  const accountAt = (address: Hex) => {
    const bytes = reader.account(hexToBytes(address))
    return bytes && createAccountFromRLP(bytes)
  }
  return {
    async account(address) {
      const found = accountAt(address)
      return {
        balance: found?.balance ?? 0n,
        nonce: found?.nonce ?? 0n,
        codeHash: found ? bytesToHex(found.codeHash) : keccak256('0x'),
        storageRoot: found ? bytesToHex(found.storageRoot) : keccak256('0x80'),
      }
    },
    async code(address) {
      const found = accountAt(address)
      return bytesToHex((found && reader.code(found.codeHash)) ?? new Uint8Array())
    },
    storage: async (address, slot) =>
      pad(bytesToHex(reader.slot(hexToBytes(address), hexToBytes(keccak256(slot))) ?? new Uint8Array()), { size: 32 }),
    proof: async (_, slots) => ({
      accountProof: ['0xc0'],
      storageProof: slots.map((key, i) => ({ key, value: pad(toHex(i), { size: 32 }), proof: ['0xc1'] })),
    }),
    async call(request, options) {
      if (options?.tracer) return call(request, options)
      const overrides = options?.state
      Object.assign(lastCall, { request, overrides })
      if (request.to === CALLEE.waits) await gate
      return scriptedCall(request, overrides)
    },
    async estimateGas(request, overrides) {
      Object.assign(lastCall, { request, overrides })
      const result = scriptedCall(request, overrides)
      return result.ok ? { ok: true, gas: result.gasUsed } : result
    },
    ledgerRecord: (table, id) => reader.ledgerRecord(table, id),
    ledgerProof: (table, id) => proveRecord(hexToBytes(at.ledgerRoot), test.store.reader, { table, id }),
    ledgerRoot: () => at.ledgerRoot,
  }
}

const errorAbi = parseAbi(['error Error(string reason)', 'error Failed(bytes32 code)'])

function scriptedCall({ to, data = '0x' }: CallRequest, overrides: StateOverrides | undefined): CallResult {
  const gasUsed = 21_500n
  const reverted = (output: Hex): CallResult => ({ ok: false, code: 'reverted', output, reason: 'revert', gasUsed })
  if (to === CALLEE.revertsWithReason) return reverted(encodeErrorResult({ abi: errorAbi, errorName: 'Error', args: ['not today'] }))
  if (to === CALLEE.revertsWithFailed) {
    return reverted(encodeErrorResult({ abi: errorAbi, errorName: 'Failed', args: [pad(toHex('notCurator'), { size: 32, dir: 'right' })] }))
  }
  if (to === CALLEE.revertsBare) return reverted('0x')
  if (to === CALLEE.halts) return { ok: false, code: 'halted', output: '0x', reason: 'out of gas', gasUsed }
  if (to === CALLEE.tooPoor) return { ok: false, code: 'insufficientFunds', reason: 'balance 0' }
  if (to === CALLEE.breaks) throw new Error('the disk of /secret/place is on fire')
  const code = to && overrides?.[to]?.code
  return { ok: true, output: code ?? data, gasUsed, logs: [] }
}

function evmNonce(test: TestChain, address: Hex): bigint {
  return test.executor.state.account(address).nonce
}

function ledgerNonce(test: TestChain, address: Hex): bigint {
  return accounts.get(test.executor.state.ledger, { account: address })?.nonce ?? 0n
}

function nextNonce(pool: ReadonlyMap<Hex, Tx>, kind: Tx['kind'], address: Hex, committed: bigint): bigint {
  return committed + BigInt([...pool.values()].filter((tx) => tx.kind === kind && tx.sender === address).length)
}
