#!/usr/bin/env node
/**
 * The pinned compiler under the command line that forge expects of one: `--version`, or standard JSON from stdin to stdout. Of what is not played itself
 * (contracts/test) only interfaces are made: its code is compiled by `npm run contracts`.
 */
import process from 'node:process'
import { text } from 'node:stream/consumers'
import solc from 'solc'

if (process.argv.includes('--version')) process.stdout.write(`solc, the solidity compiler\nVersion: ${solc.version()}\n`)
else {
  const input = JSON.parse(await text(process.stdin))
  const { outputSelection } = input.settings
  const outputsOf = (file) => {
    const asked = outputSelection[file] ?? outputSelection['*'] ?? {}
    return file.includes('contracts/test/') ? asked : { ...asked, '*': ['abi'] }
  }
  input.settings.outputSelection = Object.fromEntries(Object.keys(input.sources).map((file) => [file, outputsOf(file)]))
  process.stdout.write(solc.compile(JSON.stringify(input)))
}
