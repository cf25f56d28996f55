/** Traces are what another node makes of the same transactions, and what it does not know (native ones, deposits, doors) is told as calls. */
import solc from 'solc'
import { createPublicClient, encodeDeployData, encodeFunctionData, getContractAddress, type Hex, http, keccak256, parseAbi } from 'viem'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DOOR, FEE_VAULT } from '../../genesis/params.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { signEthereum, signer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

const SOURCE = `
pragma solidity ^0.8.20;
contract Inner {
  uint256 public value;
  event Set(uint256 indexed value);
  constructor() payable {}
  receive() external payable {}
  function set(uint256 v) external payable returns (uint256) { value = v; emit Set(v); return v * 2; }
  function fail(uint256 v) external { value = v; emit Set(v); revert("not today"); }
  function halt() external { value = 1; assembly { invalid() } }
  function bye(address payable to) external { selfdestruct(to); }
}
contract Outer {
  uint256 public value;
  Inner public inner;
  event Begun(uint256 value);
  event Ended(bytes32 hash);
  constructor() payable { inner = new Inner(); }
  function run(uint256 v) external payable returns (uint256) {
    emit Begun(v);
    uint256 twice = inner.set{value: 1}(v);
    try inner.fail(v) {} catch {}
    (bool ok,) = address(inner).delegatecall(abi.encodeCall(Inner.set, (v + 1)));
    require(ok && inner.value() == v && value == v + 1);
    try inner.halt{gas: 30000}() {} catch {}
    Inner second = new Inner{salt: bytes32(v), value: 2}();
    second.bye(payable(address(inner)));
    emit Ended(sha256(abi.encode(twice, address(second).balance)));
    return twice;
  }
  function refuse() external { value = 7; revert("not me"); }
}`

type Compiled = { readonly abi: readonly unknown[]; readonly bytecode: Hex }

function compileOuter(): Compiled {
  const settings = { evmVersion: 'cancun', optimizer: { enabled: true }, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } }
  const input = { language: 'Solidity', sources: { 'Outer.sol': { content: SOURCE } }, settings }
  const { abi, evm } = JSON.parse(solc.compile(JSON.stringify(input))).contracts['Outer.sol'].Outer
  return { abi, bytecode: `0x${evm.bytecode.object}` }
}

type Trace = Record<string, unknown>

const runAbi = parseAbi(['function run(uint256 v) payable returns (uint256)', 'function refuse()'])
const deployer = signer(6)
const outer = getContractAddress({ from: deployer.address, nonce: 0n }).toLowerCase() as Hex
let served: Served
let anvil: Anvil
/** Deployment, a run, a refusal. */
const hashes: Hex[] = []

/** The same of both, by hash. */
async function both(method: string, hash: Hex, options?: unknown): Promise<[ours: Trace, theirs: Trace]> {
  const client = createPublicClient({ transport: http(anvil.url) })
  const request = client.request as (args: { method: string; params: unknown[] }) => Promise<unknown>
  const params = options === undefined ? [hash] : [hash, options]
  return [(await served.call(method, ...params)) as Trace, (await request({ method, params })) as Trace]
}

beforeAll(async () => {
  const compiled = compileOuter()
  served = await serve()
  const { chainId } = served.chain.params
  anvil = await startAnvil({ chainId, stepsTracing: true })
  const client = createPublicClient({ transport: http(anvil.url) })
  const send = client.request as (args: { method: string; params: unknown[] }) => Promise<Hex>
  await send({ method: 'anvil_setBalance', params: [deployer.address, '0x56bc75e2d63100000'] })
  const data = encodeDeployData({ abi: compiled.abi, bytecode: compiled.bytecode })
  const run = encodeFunctionData({ abi: runAbi, functionName: 'run', args: [5n] })
  const refuse = encodeFunctionData({ abi: runAbi, functionName: 'refuse' })
  for (const [nonce, transaction] of [
    { data, gas: 3_000_000n, value: 10n },
    { to: outer, data: run, gas: 1_000_000n, value: 3n },
    { to: outer, data: refuse, gas: 100_000n },
  ].entries()) {
    const raw = await signEthereum(served.chain, 6, { ...transaction, nonce })
    await send({ method: 'eth_sendRawTransaction', params: [raw] })
    const sealed = await served.chain.seal([raw])
    hashes.push(sealed.transactions.at(-1)?.hash ?? '0x')
  }
})

afterAll(async () => {
  await served?.server.close()
  await anvil?.stop()
})

/** The first place where two traces differ; undefined: nowhere. A whole difference of traces is too long to be read. */
function difference(ours: unknown, theirs: unknown, path = ''): string | undefined {
  if (typeof ours === 'object' && typeof theirs === 'object' && ours !== null && theirs !== null) {
    const [a, b] = [ours as Trace, theirs as Trace]
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = difference(a[key], b[key], `${path}.${key}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return ours === theirs
    ? undefined
    : `${path}: ours ${JSON.stringify(ours)?.slice(0, 200)}, theirs ${JSON.stringify(theirs)?.slice(0, 200)}`
}

function withoutIndexes(frame: Trace): Trace {
  const { calls, logs } = frame as { calls?: Trace[]; logs?: Trace[] }
  const kept = logs?.map(({ index: _, ...log }) => log)
  return { ...frame, ...(calls && { calls: calls.map(withoutIndexes) }), ...(kept && { logs: kept }) }
}

/** Who takes fees differs, and so does what is left to who paid them. */
function withoutFees(trace: Trace): Trace {
  if ('pre' in trace) return { pre: withoutFees(trace.pre as Trace), post: withoutFees(trace.post as Trace) }
  const feeTakers = [FEE_VAULT, served.chain.blocks.at(-1)?.block.header.miner ?? '', `0x${'00'.repeat(20)}`]
  const isNothing = (account: unknown) => JSON.stringify(account) === '{"balance":"0x0"}' // which geth does not show of contracts that were made
  const others = Object.entries(trace).filter(([address, account]) => !feeTakers.includes(address) && !isNothing(account))
  const sender = addressOf(deployer)
  return Object.fromEntries(
    others.map(([address, account]) => [address, address === sender ? { ...(account as Trace), balance: 0 } : account]),
  )
}

describe('as another node tells it', () => {
  test('frames, with and without their logs', async () => {
    for (const hash of hashes) {
      for (const tracerConfig of [{}, { withLog: true }, { onlyTopCall: true }]) {
        const [ours, theirs] = await both('debug_traceTransaction', hash, { tracer: 'callTracer', tracerConfig })
        // Geth says the transaction's gas, anvil what of it is left for code; an index counts over the block there, and over what was undone here.
        expect(difference(withoutIndexes({ ...ours, gas: 0 }), withoutIndexes({ ...theirs, gas: 0 }))).toBeUndefined()
      }
    }
  })

  test('operations, with stack, memory and storage', async () => {
    for (const hash of hashes) {
      const [ours, theirs] = await both('debug_traceTransaction', hash, { enableMemory: true, enableReturnData: true })
      expect((ours.structLogs as unknown[]).length).toBeGreaterThan(50)
      // Geth leaves out what is empty, anvil does not.
      for (const log of theirs.structLogs as {
        op: string
        gasCost?: number
        returnData?: string
        memory?: string[]
        refund?: number
        error?: string
      }[]) {
        if (log.returnData === '0x') delete log.returnData
        if (log.memory?.length === 0) delete log.memory
        if (log.refund === 0) delete log.refund
        if (log.error === 'Some(InvalidFEOpcode)') log.error = 'invalid opcode: INVALID'
      }
      // What a creation hands on is in its cost there.
      for (const log of [...(ours.structLogs as Trace[]), ...(theirs.structLogs as Trace[])])
        if (String(log.op).startsWith('CREATE')) delete log.gasCost
      expect(difference(ours, theirs)).toBeUndefined()
    }
  })

  test('what was there before, and what a transaction changed', async () => {
    for (const hash of hashes) {
      for (const tracerConfig of [{}, { diffMode: true }]) {
        const [ours, theirs] = await both('debug_traceTransaction', hash, { tracer: 'prestateTracer', tracerConfig })
        expect(difference(withoutFees(ours), withoutFees(theirs))).toBeUndefined()
      }
    }
  })

  test('functions by how often they were called', async () => {
    const [ours, theirs] = await both('debug_traceTransaction', hashes[1] ?? '0x', { tracer: '4byteTracer' })
    delete theirs['0x00000000-60'] // the precompile's, whose input has no selector: geth counts it not
    expect(difference(ours, theirs)).toBeUndefined()
  })
})

describe('what another node does not know', () => {
  const callTracer = { tracer: 'callTracer', tracerConfig: { withLog: true } }

  test('a native transaction is a call of its door; one that failed says by which rule', async () => {
    const { chain, call } = served
    const natives = chain.blocks.flatMap(({ transactions }) => transactions.filter((tx) => tx.kind === 'native'))
    const [created, refused] = natives
    const shown = (await call('eth_getTransactionByHash', created?.hash)) as Trace
    const trace = (await call('debug_traceTransaction', created?.hash, callTracer)) as Trace
    expect(trace).toMatchObject({
      type: 'CALL',
      from: shown.from,
      to: DOOR.datanets,
      input: shown.input,
      gas: shown.gas,
      gasUsed: shown.gas,
    })
    const receipt = (await call('eth_getTransactionReceipt', created?.hash)) as { logs: Trace[] }
    expect(trace.logs).toEqual(
      receipt.logs.map(({ address, topics, data, logIndex }) => ({ address, topics, data, index: logIndex, position: '0x0' })),
    )
    expect(await call('debug_traceTransaction', refused?.hash, callTracer)).toMatchObject({
      to: DOOR.ledger,
      error: 'execution reverted',
      revertReason: 'insufficientBalance',
    })
    expect(await call('debug_traceTransaction', created?.hash)).toMatchObject({ failed: false, returnValue: '0x', structLogs: [] })
  })

  test('a block has a trace for each transaction, deposits too', async () => {
    const { chain, call } = served
    for (const at of chain.blocks) {
      const traces = (await call('debug_traceBlockByNumber', `0x${at.block.header.number.toString(16)}`, callTracer)) as Trace[]
      expect(traces.map(({ txHash }) => txHash)).toEqual(at.transactions.map(({ hash }) => hash))
      expect(traces).toEqual(await call('debug_traceBlockByHash', at.hash, callTracer))
      for (const [index, { result }] of traces.entries()) expect(result).toMatchObject({ from: at.transactions[index]?.sender })
    }
  })

  test('a call is traced on any state, with overrides of accounts and of the block', async () => {
    const { call } = served
    const to = `0x${'7c'.repeat(20)}`
    // NUMBER, and the sum of it and slot 3, in two words.
    const code = '0x43806000526003540160205260406000f3'
    const options = { stateOverrides: { [to]: { code, stateDiff: { [`0x${'03'.padStart(64, '0')}`]: `0x${'05'.padStart(64, '0')}` } } } }
    const trace = (await call('debug_traceCall', { to }, 'latest', {
      ...options,
      blockOverrides: { number: '0x64' },
      tracer: 'callTracer',
    })) as Trace
    expect(trace).toMatchObject({ type: 'CALL', to, output: `0x${'64'.padStart(64, '0')}${'69'.padStart(64, '0')}` })
    expect(await call('debug_traceCall', { to }, 'latest', { ...options, tracer: 'prestateTracer' })).toMatchObject({
      [to]: { code, storage: { [`0x${'03'.padStart(64, '0')}`]: `0x${'05'.padStart(64, '0')}` } },
    })
    expect(await call('eth_createAccessList', { to }, 'latest', options.stateOverrides)).toMatchObject({
      accessList: [{ address: to, storageKeys: [`0x${'03'.padStart(64, '0')}`] }],
    })
  })

  test('what is asked wrongly, and what is too much, is refused', async () => {
    const { fail } = served
    const hash = hashes[0] ?? '0x'
    expect(await fail('debug_traceTransaction', hash, { tracer: '{ fault() {} }' })).toMatchObject({ code: -32602 })
    expect(await fail('debug_traceTransaction', hash, { enableMemory: 1 })).toMatchObject({ code: -32602 })
    expect(await fail('debug_traceTransaction', `0x${'00'.repeat(32)}`)).toMatchObject({
      code: -32001,
      data: { code: 'unknownTransaction' },
    })
    expect(await fail('debug_traceBlockByNumber', '0xffff')).toMatchObject({ code: -32001 })
    const small = await serve({ limits: { responseBytes: 10_000 } }, served.chain)
    for (const options of [{}, { tracer: 'callTracer' }])
      expect(await small.fail('debug_traceTransaction', hash, options)).toMatchObject({ code: -32005, data: { code: 'traceTooLarge' } })
    await small.server.close()
    // A trace that was given up leaves nothing behind.
    expect(await served.call('debug_traceTransaction', hash, { tracer: '4byteTracer' })).toEqual({})
  })

  test('bytes hash to what the block says', async () => {
    const { chain, call } = served
    for (const at of chain.blocks) {
      const number = `0x${at.block.header.number.toString(16)}`
      expect(keccak256((await call('debug_getRawHeader', number)) as Hex)).toBe(at.hash)
      expect(((await call('debug_getRawBlock', number)) as string).length).toBe(2 + 2 * at.size)
      expect(((await call('debug_getRawReceipts', number)) as Hex[]).length).toBe(at.receipts.length)
      for (const tx of at.transactions) expect(keccak256((await call('debug_getRawTransaction', tx.hash)) as Hex)).toBe(tx.hash)
    }
  })
})
