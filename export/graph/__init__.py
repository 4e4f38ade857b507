"""The ONNX graph: conversion, rewriting, and the contract it must meet."""
