/**
 * What a person does with Hardhat, by its provider alone: deploys, calls, reads the past, is refused, and plays on in a fork. The last line that it
 * prints is what came of it, as JSON.
 */
import hre from 'hardhat'
import { decodeFunctionResult, encodeDeployData, encodeFunctionData } from 'viem'

const STRANGER = '0x00000000000000000000000000000000000c0de8'
const { abi, bytecode } = await hre.artifacts.readArtifact('Token')
const { provider } = await hre.network.create('tributary')

const ask = (by, method, ...params) => by.request({ method, params })

async function send(by, transaction) {
  const hash = await ask(by, 'eth_sendTransaction', transaction)
  for (;;) {
    const receipt = await ask(by, 'eth_getTransactionReceipt', hash)
    if (receipt) return receipt
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const [from, other] = await ask(provider, 'eth_accounts')
const deployed = await send(provider, { from, data: encodeDeployData({ abi, bytecode, args: [from] }) })
const call = (functionName, ...args) => ({ to: deployed.contractAddress, data: encodeFunctionData({ abi, functionName, args }) })
const heldBy = async (by, account, block) => {
  const data = await ask(by, 'eth_call', call('balanceOf', account), block)
  return Number(decodeFunctionResult({ abi, functionName: 'balanceOf', data }))
}
const refusal = ({ code, message, data }) => ({ code, message, data })

const moved = await send(provider, { from, ...call('transfer', STRANGER, 7n) })
const paid = await send(provider, { from: other, to: STRANGER, value: '0x5' })
const refused = await ask(provider, 'eth_estimateGas', { from, ...call('mint', from, 1001n) }).catch(refusal)
const held = [await heldBy(provider, STRANGER, deployed.blockNumber), await heldBy(provider, STRANGER, 'latest')]

// Left to itself Hardhat begins a fork 32 blocks behind the head.
const { url } = hre.config.networks.fork.forking
const forking = { url: await url.getUrl(), blockNumber: BigInt(moved.blockNumber) }
const { provider: fork } = await hre.network.create({ network: 'fork', override: { forking } })
const inFork = await send(fork, { from, ...call('transfer', STRANGER, 3n) })

const result = {
  statuses: [deployed, moved, paid, inFork].map(({ status }) => status),
  logs: moved.logs.map(({ address }) => address === deployed.contractAddress),
  refused,
  held,
  heldInFork: [await heldBy(fork, STRANGER, 'latest'), await heldBy(provider, STRANGER, 'latest')],
  paid: [await ask(fork, 'eth_getBalance', STRANGER, 'latest'), await ask(provider, 'eth_getBalance', STRANGER, 'latest')],
}
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
