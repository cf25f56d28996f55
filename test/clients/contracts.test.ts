/** Contracts of others as they are published, with web3 and ethers as they come: Uniswap 2 and 3 with OpenZeppelin's tokens. And what web3 asks besides. */
import { type BaseContract, Contract, ContractFactory, type EventLog, JsonRpcProvider, NonceManager, Wallet } from 'ethers'
import { type Abi, type Hex, parseEther, zeroHash } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTokenBytecode } from '../../contracts/artifacts.ts'
import { assert } from '../../execution/assert.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { type Devnet, startDevnet } from '../e2e/devnet.ts'
import { devnetAccount, lower } from '../e2e/stage.ts'
import { loadTool, toolJson } from './tools.ts'

const STRANGER: Hex = '0x00000000000000000000000000000000000c0deb'
/** Later than any block. */
const DEADLINE_SEC = 10_000_000_000n
/** Uniswap 3's fee of 0.3 %, its ticks' spacing, and the lowest and highest tick of that spacing. */
const [V3_FEE, V3_TICK_MAX] = [3_000, 887_220]
/** The square root of a price of 1, times 2⁹⁶. */
const PRICE_ONE = 2n ** 96n

/** What is used here of web3. */
type Sent = { readonly status: bigint; readonly type: bigint; readonly transactionHash: Hex; readonly blockNumber: bigint }
type Call = { call(): Promise<unknown>; send(options: { from: string; value?: string }): Promise<Sent> }
type Web3Contract = {
  readonly options: { readonly address?: Hex }
  readonly methods: Readonly<Record<string, (...args: readonly unknown[]) => Call>>
  deploy(options: { data: string; arguments: readonly unknown[] }): { send(options: { from: string }): Promise<Web3Contract> }
  getPastEvents(name: string, range: { fromBlock: number; toBlock: string }): Promise<readonly { readonly returnValues: unknown }[]>
}
type Eth = Readonly<Record<string, (...args: readonly unknown[]) => Promise<unknown>>> & {
  readonly accounts: { readonly wallet: { add(key: Hex): void } }
  readonly Contract: new (abi: Abi, address?: Hex) => Web3Contract
  readonly net: { getId(): Promise<bigint>; isListening(): Promise<boolean>; getPeerCount(): Promise<bigint> }
  subscribe(
    name: 'newBlockHeaders',
  ): Promise<{ on(name: 'data', hear: (head: { readonly number: bigint; readonly hash: Hex }) => void): void }>
}
type Web3 = { readonly eth: Eth; readonly provider: { disconnect(): void } }
type Artifact = { readonly abi: Abi; readonly bytecode: string }

let devnet: Devnet
let Web3: new (url: string) => Web3

beforeAll(async () => {
  ;[devnet, { Web3 }] = await Promise.all([startDevnet(), loadTool<{ Web3: typeof Web3 }>('web3')])
})

afterAll(() => devnet.close())

test('web3: Uniswap 2 is deployed, has a pair with liquidity, and swaps OPEN for a token', async () => {
  const { eth } = new Web3(devnet.ready().rpc)
  const from = devnetAccount(0).address
  eth.accounts.wallet.add(DEVNET_KEYS[0] ?? '0x')
  const deploy = ({ abi, bytecode }: Artifact, ...args: readonly unknown[]) =>
    new eth.Contract(abi).deploy({ data: bytecode.replace(/^(0x)?/, '0x'), arguments: args }).send({ from })
  const factory = await deploy(toolJson('@uniswap/v2-core/build/UniswapV2Factory.json'), from)
  const weth = await deploy(toolJson('@uniswap/v2-periphery/build/WETH9.json'))
  const router = await deploy(toolJson('@uniswap/v2-periphery/build/UniswapV2Router02.json'), factory.options.address, weth.options.address)
  const token = await deploy({ abi: openTokenAbi, bytecode: openTokenBytecode }, from)
  const path = [weth.options.address, token.options.address]
  const [held, amount] = [10n * OPEN_WEI, OPEN_WEI]

  await method(token, 'approve', router.options.address, held).send({ from })
  const liquidity = method(router, 'addLiquidityETH', token.options.address, held, 0n, 0n, from, DEADLINE_SEC)
  expect(await liquidity.send({ from, value: held.toString() })).toMatchObject({ status: 1n })
  const [, out] = (await method(router, 'getAmountsOut', amount, path).call()) as readonly [bigint, bigint]
  expect(out).toBe((held * amount * 997n) / (held * 1_000n + amount * 997n))
  const swap = method(router, 'swapExactETHForTokens', out, path, STRANGER, DEADLINE_SEC)
  expect(await swap.send({ from, value: amount.toString() })).toMatchObject({ status: 1n })
  expect(await method(token, 'balanceOf', STRANGER).call()).toBe(out)

  const pair = (await method(factory, 'getPair', ...path).call()) as Hex
  const { abi } = toolJson<Artifact>('@uniswap/v2-core/build/UniswapV2Pair.json')
  const swaps = await new eth.Contract(abi, pair).getPastEvents('Swap', { fromBlock: 0, toBlock: 'latest' })
  expect(swaps.map(({ returnValues }) => (returnValues as { to: string }).to.toLowerCase())).toEqual([STRANGER])
  await expect(method(router, 'swapExactETHForTokens', out, path, STRANGER, 1n).send({ from, value: '1' })).rejects.toMatchObject({
    cause: { code: 3, errorArgs: { message: 'UniswapV2Router: EXPIRED' } },
  })
})

test('ethers: Uniswap 3 is deployed, has a pool with a position, and swaps one token for another', async () => {
  const provider = new JsonRpcProvider(devnet.ready().rpc, devnet.ready().chainId, {
    staticNetwork: true,
    polling: true,
    pollingInterval: 100,
    cacheTimeout: -1,
  })
  const me = devnetAccount(1).address
  const wallet = new NonceManager(new Wallet(DEVNET_KEYS[1] ?? '', provider))
  const deploy = async ({ abi, bytecode }: Artifact, ...args: readonly unknown[]) => {
    const deployed = await (await new ContractFactory(abi as never, bytecode, wallet).deploy(...args)).waitForDeployment()
    return new Contract(await deployed.getAddress(), abi as never, wallet)
  }
  const send = async (contract: BaseContract, name: string, ...args: readonly unknown[]) => {
    const sent = await contract.getFunction(name).send(...args)
    expect(await sent.wait()).toMatchObject({ status: 1 })
  }
  try {
    const factory = await deploy(v3('core', 'UniswapV3Factory'))
    const weth = await deploy(toolJson('@uniswap/v2-periphery/build/WETH9.json'))
    const positions = await deploy(v3('periphery', 'NonfungiblePositionManager'), factory, weth, me)
    const router = await deploy(v3('periphery', 'SwapRouter'), factory, weth)
    const tokens = [
      await deploy({ abi: openTokenAbi, bytecode: openTokenBytecode }, me),
      await deploy({ abi: openTokenAbi, bytecode: openTokenBytecode }, me),
    ]
    const [token0, token1] = (await Promise.all(tokens.map((token) => token.getAddress()))).sort((a, b) => (lower(a) < lower(b) ? -1 : 1))
    for (const token of tokens) for (const spender of [positions, router]) await send(token, 'approve', spender, parseEther('1000'))

    await send(positions, 'createAndInitializePoolIfNecessary', token0, token1, V3_FEE, PRICE_ONE)
    const amounts = [parseEther('100'), parseEther('100'), 0n, 0n]
    await send(positions, 'mint', [token0, token1, V3_FEE, -V3_TICK_MAX, V3_TICK_MAX, ...amounts, me, DEADLINE_SEC])
    expect(await positions.getFunction('ownerOf')(1n)).toBe(me)
    const swap = [token0, token1, V3_FEE, STRANGER, DEADLINE_SEC, parseEther('1'), 0n, 0n]
    const out = await router.getFunction('exactInputSingle').staticCall(swap)
    // Of 1 less the fee, against 100 on either side; the pool rounds down twice.
    expect(Number(out) / 1e18).toBeCloseTo((0.997 * 100) / 100.997, 9)
    await send(router, 'exactInputSingle', swap)
    expect(await new Contract(token1 ?? '', openTokenAbi as never, provider).getFunction('balanceOf')(STRANGER)).toBe(out)
    const pool = await factory.getFunction('getPool')(token0, token1, V3_FEE)
    const [event] = await new Contract(pool, v3('core', 'UniswapV3Pool').abi as never, provider).queryFilter('Swap', 0)
    const { args } = event as EventLog
    expect([lower(args.getValue('recipient')), args.getValue('amount0'), args.getValue('amount1')]).toEqual([
      STRANGER,
      parseEther('1'),
      -out,
    ])
  } finally {
    provider.destroy()
  }
})

test('web3: whatever it can ask is answered, or refused with a reason where this chain has no such thing', async () => {
  const { rpc, ws, chainId } = devnet.ready()
  const { eth } = new Web3(rpc)
  const from = devnetAccount(2).address
  eth.accounts.wallet.add(DEVNET_KEYS[2] ?? '0x')
  for (const [type, fees] of [
    [0n, { gasPrice: 2_000_000_000n }],
    [1n, { gasPrice: 2_000_000_000n }],
    [2n, {}],
  ] as const) {
    expect(await eth.sendTransaction?.({ from, to: STRANGER, value: 1n, type, ...fees })).toMatchObject({ status: 1n, type })
  }
  const ask = (name: string, ...args: readonly unknown[]) => eth[name]?.(...args)
  const known = { from: from.toLowerCase(), to: STRANGER, value: 1n, type: 2n }
  const { transactionHash: hash, blockNumber } = (await ask('sendTransaction', { from, to: STRANGER, value: 1n })) as Sent
  const block = (await ask('getBlock', blockNumber, true)) as {
    readonly hash: Hex
    readonly transactions: readonly { readonly hash: Hex }[]
  }
  const index = block.transactions.findIndex((one) => one.hash === hash)
  expect(await Promise.all([ask('getTransaction', hash), ask('getTransactionFromBlock', blockNumber, index)])).toMatchObject([known, known])
  const facts = [
    'getChainId',
    'isSyncing',
    'getAccounts',
    'getPendingTransactions',
    'getTransactionCount',
    'getCode',
    'getBlockUncleCount',
    'getStorageAt',
  ]
  const args: Readonly<Record<string, readonly unknown[]>> = {
    getTransactionCount: [from],
    getCode: [from],
    getBlockUncleCount: [0],
    getStorageAt: [from, 0],
  }
  expect(await Promise.all(facts.map((name) => ask(name, ...(args[name] ?? []))))).toEqual([
    BigInt(chainId),
    false,
    [],
    [],
    4n,
    '0x',
    0n,
    zeroHash,
  ])
  expect(await Promise.all([eth.net.getId(), eth.net.isListening(), eth.net.getPeerCount()])).toEqual([BigInt(chainId), true, 0n])
  expect(await ask('getProof', from, [zeroHash], 'latest')).toMatchObject({ nonce: 4n, storageProof: [{ value: 0n }] })
  expect(await ask('getFeeHistory', 2, 'latest', [50])).toMatchObject({ gasUsedRatio: [expect.any(Number), expect.any(Number)] })
  expect(await ask('createAccessList', { from, to: STRANGER })).toMatchObject({ accessList: [], gasUsed: '0x5208' })
  expect(await ask('calculateFeeData')).toMatchObject({ maxPriorityFeePerGas: 1_000_000n, maxFeePerGas: expect.any(BigInt) })
  for (const [name, ...params] of [['isMining'], ['getHashRate'], ['getUncle', 1, 0], ['getWork']]) {
    await expect(ask(String(name), ...params)).rejects.toMatchObject({ innerError: { code: -32601 } })
  }

  const socket = new Web3(ws)
  const heard = Promise.withResolvers<{ readonly number: bigint; readonly hash: Hex }>()
  ;(await socket.eth.subscribe('newBlockHeaders')).on('data', heard.resolve)
  const head = await heard.promise
  expect(await ask('getBlock', head.number)).toMatchObject({ hash: head.hash })
  socket.provider.disconnect()
})

function method(contract: Web3Contract, name: string, ...args: readonly unknown[]): Call {
  const call = contract.methods[name]?.(...args)
  assert(call, `the contract has no ${name}`)
  return call
}

function v3(part: 'core' | 'periphery', name: string): Artifact {
  return toolJson(`@uniswap/v3-${part}/artifacts/contracts/${name}.sol/${name}.json`)
}
