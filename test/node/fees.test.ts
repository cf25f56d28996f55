/** What the node names before is what the chain takes after, on both lanes, to the wei. Spec: docs/spec/transactions.md#fees, docs/spec/rpc.md#eth */
import { encodeFunctionData, getContractAddress, type Hex, hexToBytes, serializeTransaction } from 'viem'
import { expect, onTestFinished, test } from 'vitest'
import { getAccount } from '../../execution/ledger/tables.ts'
import { gasPriceOracleAbi } from '../../execution/native/doorAbi.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { DOOR, GAS_PRICE_ORACLE } from '../../genesis/params.ts'
import { createBlocks } from '../../node/blocks.ts'
import { createRpcChain } from '../../node/rpcChain.ts'
import { createSimulator } from '../../node/simulator.ts'
import { createDesk } from '../../rpc/desk.ts'
import { createRpcServer } from '../../rpc/server.ts'
import { openDiskChain } from '../fakes/diskChain.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const CAROL: Hex = `0x${'ca'.repeat(20)}`
const SCALARS = { l1BaseFeeScalar: 10n ** 10n, l1BlobBaseFeeScalar: 10n ** 12n }

/** A node's chain with its JSON-RPC, a call of which is `ask`, and `seal`, which makes a block of what waits. */
async function start({ l1BaseFeeWei }: { readonly l1BaseFeeWei?: bigint } = {}) {
  const given = testGenesis(SCALARS)
  const origin = { ...given.l1.origin, ...(l1BaseFeeWei !== undefined && { baseFeeWei: l1BaseFeeWei }) }
  const genesis = { ...given, l1: { ...given.l1, origin } }
  const { chain } = await openDiskChain(genesis)
  const { store } = chain
  const simulator = await createSimulator({ store, params: genesis.params })
  const settlement = {
    heads: () => ({ safe: 0n, finalized: 0n }),
    status: () => ({ l1Head: undefined, batches: { posted: 0, postedBytes: 0, nextBlock: 1n }, checkpoints: 0 }),
  }
  const blocks = createBlocks(chain)
  const port = createRpcChain({
    logIndex: { matching: () => ({ blocks: [], reached: 0n }) },
    chain,
    blocks,
    simulator,
    settlement,
    clientVersion: 'test',
    wake() {},
    network: () => ({}),
  })
  const log = { info() {}, error() {} }
  const server = await createRpcServer({ desk: createDesk({ chain: port, log }), intake: port, host: '127.0.0.1', port: 0, log })
  onTestFinished(() => server.close())
  let timestampMs = genesis.timestampMs
  return {
    chainId: genesis.params.chainId,
    ledger: chain.executor.state.ledger,
    async ask<T>(method: string, ...params: unknown[]): Promise<T> {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
      const answer = (await (
        await fetch(server.url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
      ).json()) as { readonly result?: unknown; readonly error?: unknown }
      if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`)
      return answer.result as T
    },
    async seal() {
      timestampMs += 1_000
      const built = await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: `0x${'99'.repeat(20)}`, origin: undefined })
      return chain.decide(built.hash, new Uint8Array())
    },
  }
}

type Receipt = {
  readonly status: Hex
  readonly gasUsed: Hex
  readonly effectiveGasPrice: Hex
  readonly l1Fee: Hex
  readonly l1GasUsed: Hex
}

test('a native transaction offers exactly what was estimated, is included, and that is what its account pays', async () => {
  const { ask, seal, chainId, ledger } = await start()
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  await seal()
  const fields = { kind: 0, to: CAROL, amount: 5n }
  const estimate = await ask<Record<'gas' | 'fee' | 'l1Fee', Hex>>('tributary_estimateFee', {
    type: 'Transfer',
    fields: { ...fields, amount: '0x5' },
  })
  const maxFeeWei = BigInt(estimate.fee)
  expect(BigInt(estimate.l1Fee)).toBeGreaterThan(0n)
  const sign = (bound: bigint) => signNative(account, { type: transfer, fields, nonce: 0n, chainId, maxFeeWei: bound })
  const send = async (bound: bigint) => ask<Hex>('eth_sendRawTransaction', `0x${Buffer.from(await sign(bound)).toString('hex')}`)
  await expect(send(maxFeeWei - 1n)).rejects.toThrow('feeTooLow')
  const before = getAccount(ledger, addressOf(account)).balance
  const hash = await send(maxFeeWei)
  await seal()
  expect(getAccount(ledger, addressOf(account)).balance).toBe(before - maxFeeWei - 5n)
  const receipt = await ask<Receipt>('eth_getTransactionReceipt', hash)
  expect(BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice) + BigInt(receipt.l1Fee)).toBe(maxFeeWei)
  expect(receipt).toMatchObject({ status: '0x1', gasUsed: estimate.gas, l1Fee: estimate.l1Fee })
})

test('a call of a door sent with the gas and the price that were named succeeds after ten empty blocks too, and costs what the receipt says', async () => {
  // A byte of a row is some 160 gas at the first base fee, and 600 at that of ten blocks later.
  const { ask, seal, chainId } = await start({ l1BaseFeeWei: 1_000_000n })
  const account = testAccounts[1]
  if (!account) throw new Error('no account')
  await seal()
  const from = addressOf(account)
  const data = encodeFunctionData({
    abi: [
      {
        type: 'function',
        name: 'transfer',
        stateMutability: 'payable',
        inputs: [{ type: 'uint8' }, { type: 'address' }, { type: 'uint96' }],
        outputs: [],
      },
    ],
    args: [0, CAROL, 7n],
  })
  const gas = BigInt(await ask<Hex>('eth_estimateGas', { from, to: DOOR.ledger, data, value: '0x7' }))
  const history = await ask<{ baseFeePerGas: Hex[] }>('eth_feeHistory', '0x1', 'latest', [])
  const base = BigInt(history.baseFeePerGas.at(-1) ?? 0)
  const tip = BigInt(await ask<Hex>('eth_maxPriorityFeePerGas'))
  expect(BigInt(await ask<Hex>('eth_gasPrice'))).toBe(base + tip)
  const request = {
    chainId,
    type: 'eip1559',
    to: DOOR.ledger,
    data,
    value: 7n,
    gas,
    nonce: 0,
    maxFeePerGas: base + tip,
    maxPriorityFeePerGas: tip,
  } as const
  const oracleCall = encodeFunctionData({ abi: gasPriceOracleAbi, functionName: 'getL1Fee', args: [serializeTransaction(request)] })
  const named = BigInt(await ask<Hex>('eth_call', { to: GAS_PRICE_ORACLE, data: oracleCall }))
  const before = BigInt(await ask<Hex>('eth_getBalance', from))
  const raw = await account.signTransaction(request)
  // Gas of a row's bytes rises as the base fee falls.
  for (let i = 0; i < 10; i++) await seal()
  const hash = await ask<Hex>('eth_sendRawTransaction', raw)
  await seal()
  const receipt = await ask<Receipt>('eth_getTransactionReceipt', hash)
  const price = BigInt(receipt.effectiveGasPrice)
  expect(receipt.status).toBe('0x1')
  expect(price).toBeLessThan(base + tip)
  expect(BigInt(receipt.l1GasUsed)).toBe(16n * BigInt(hexToBytes(raw).length))
  const l1Fee = BigInt(receipt.l1Fee)
  expect(l1Fee).toBeGreaterThan(0n)
  expect(l1Fee).toBeLessThanOrEqual(named)
  const paid = before - BigInt(await ask<Hex>('eth_getBalance', from))
  expect(paid).toBe(BigInt(receipt.gasUsed) * price + l1Fee + 7n)
  expect(paid).toBeLessThanOrEqual(gas * (base + tip) + named + 7n)
})

test('what is estimated right after a contract was called is enough for it when time has passed', async () => {
  const { ask, seal, chainId } = await start()
  const account = testAccounts[2]
  if (!account) throw new Error('no account')
  await seal()
  const from = addressOf(account)
  const prices = { chainId, type: 'eip1559', maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 0n } as const
  const send = async (fields: { readonly nonce: number; readonly to?: Hex; readonly data?: Hex; readonly gas: bigint }) => {
    const hash = await ask<Hex>('eth_sendRawTransaction', await account.signTransaction({ ...prices, ...fields }))
    await seal()
    return ask<Receipt>('eth_getTransactionReceipt', hash)
  }
  // Its code: TIMESTAMP PUSH0 SSTORE. To write what is there already costs less than anything else.
  expect(await send({ nonce: 0, data: '0x63425f55005f526004601cf3', gas: 200_000n })).toMatchObject({ status: '0x1' })
  const to = getContractAddress({ from, nonce: 0n })
  expect(await send({ nonce: 1, to, gas: 100_000n })).toMatchObject({ status: '0x1' })
  const gas = BigInt(await ask<Hex>('eth_estimateGas', { from, to }))
  expect(await send({ nonce: 2, to, gas })).toMatchObject({ status: '0x1' })
})
