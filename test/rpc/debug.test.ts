/** Traces are what another node makes of the same transactions, and what it does not know (native ones, deposits, doors) is told as calls. */
import { type Hex, keccak256 } from 'viem'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DOOR, FEE_VAULT } from '../../genesis/params.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type BothNodes, deployer, difference, startBothNodes, type Trace } from './bothNodes.ts'
import { type Served, serve } from './serve.ts'

let nodes: BothNodes
let served: Served
/** Deployment, a run, a refusal. */
let hashes: readonly Hex[]

/** The same of both, by hash. */
async function both(method: string, hash: Hex, options?: unknown): Promise<[ours: Trace, theirs: Trace]> {
  const answers = options === undefined ? await nodes.ask(method, hash) : await nodes.ask(method, hash, options)
  return answers as [Trace, Trace]
}

beforeAll(async () => {
  nodes = await startBothNodes()
  served = nodes.served
  hashes = nodes.hashes
})

afterAll(() => nodes?.close())

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
